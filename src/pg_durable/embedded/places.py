"""The files of one embedded server, and where its socket goes.

<directory>/data/         the cluster, made by initdb
<directory>/run/          the socket, if its path is short and plain enough
<directory>/server.log    what PostgreSQL says
<directory>/keeper.log    what the keeper says
<directory>/owners.lock   shared by the owners; exclusive while the server stops for good
<directory>/keeper.lock   exclusive for the life of the keeper
<directory>/turn.lock     one owner at a time starts or releases
"""

import hashlib
import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_data_path

from pg_durable.embedded.account import Account
from pg_durable.embedded.children import reaches
from pg_durable.errors import EmbeddedError

DIRECTORY_VARIABLE = "PG_DURABLE_DATA"
_LONGEST_SOCKET_PATH = 103 if sys.platform == "darwin" else 107  # sun_path without its NUL


def default_directory() -> Path:
    """Return $PG_DURABLE_DATA, else /var/lib/pg_durable for root, else one in the user's data."""
    if named := os.environ.get(DIRECTORY_VARIABLE):
        return Path(named)
    if os.geteuid() == 0:
        return Path("/var/lib/pg_durable")
    return user_data_path("pg_durable") / "server"


@dataclass(frozen=True, slots=True)
class Places:
    """The paths below one directory, which is absolute."""

    directory: Path

    @classmethod
    def of(cls, directory: Path | None) -> "Places":
        """Resolve links, so that two names of one directory mean one server."""
        return cls((default_directory() if directory is None else directory).resolve())

    @property
    def data(self) -> Path:
        return self.directory / "data"

    @property
    def run(self) -> Path:
        return self.directory / "run"

    @property
    def server_log(self) -> Path:
        return self.directory / "server.log"

    @property
    def keeper_log(self) -> Path:
        return self.directory / "keeper.log"

    @property
    def owners_lock(self) -> Path:
        return self.directory / "owners.lock"

    @property
    def keeper_lock(self) -> Path:
        return self.directory / "keeper.lock"

    @property
    def turn_lock(self) -> Path:
        return self.directory / "turn.lock"

    def make(self) -> None:
        """Make the directory if it is not there, and check that it is ours.

        Root's may be entered by the server's user; an ordinary user's by nobody else. One
        that was there keeps its mode: what cannot be reached by its path is reached otherwise.
        """
        try:
            self.directory.mkdir(parents=True)
        except FileExistsError:
            pass
        else:
            self.directory.chmod(0o711 if os.geteuid() == 0 else 0o700)
        found = self.directory.stat()
        if found.st_uid != os.geteuid():
            raise EmbeddedError(
                f"The directory {self.directory} belongs to user id {found.st_uid}, not to you.",
                hint=f"Run as its owner, or choose another directory ({DIRECTORY_VARIABLE}).",
            )
        if found.st_mode & stat.S_IWOTH:
            raise EmbeddedError(
                f"Everybody can write in {self.directory}, so a server's files are not safe there.",
                hint="Choose a directory below it.",
            )

    def make_socket_directory(self, account: Account, port: int) -> Path:
        """Make the private directory the socket goes into, and return it, with no socket in it.

        It is `run`, unless a socket's path cannot be as long as that would be, a connection
        string cannot name it, or the server's user cannot get there.
        """
        for path in self._socket_directories():
            parent_is_usable = os.access(path.parent, os.W_OK | os.X_OK)
            if _can_hold_socket(path, port) and parent_is_usable:
                _make_private(path, account)
                _remove_sockets(path)
                if reaches(account, path):
                    return path
        raise EmbeddedError(
            f"There is no directory for the socket of the server in {self.directory}.",
            hint="Set TMPDIR to a directory with a short path.",
        )

    def remove_socket_directory(self, account: Account) -> None:
        """Remove the sockets of dead servers, and their directory if it is not `run`."""
        for path in self._socket_directories():
            if _is_private(path, account):
                _remove_sockets(path)
                if path != self.run:
                    path.rmdir()

    def _socket_directories(self) -> Iterator[Path]:
        """Yield the places for the socket, the best first."""
        yield self.run
        digest = hashlib.sha256(os.fsencode(self.directory)).hexdigest()[:16]
        name = f"pg_durable-{os.geteuid()}-{digest}"
        if os.geteuid() == 0:
            yield Path("/run") / name
        elif (named := os.environ.get("XDG_RUNTIME_DIR", "")).startswith("/"):
            yield Path(named) / name
        yield Path(tempfile.gettempdir()) / name
        yield Path("/tmp") / name  # noqa: S108 - it is made private, and checked


def _can_hold_socket(directory: Path, port: int) -> bool:
    """Whether a path below it is short enough, and can be written in a connection string.

    A comma separates several hosts there, with no way to quote it, a line break ends the
    line of postmaster.pid, and the whole string is UTF-8.
    """
    try:
        text = str(directory / f".s.PGSQL.{port}").encode()
    except UnicodeEncodeError:
        return False
    return len(text) <= _LONGEST_SOCKET_PATH and not any(c in text for c in b",\n\r")


def _make_private(path: Path, account: Account) -> None:
    """Make a directory for the server's user alone; refuse one that a stranger planted."""
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
    found = path.lstat()
    if os.geteuid() == 0 and found.st_uid == 0 and stat.S_ISDIR(found.st_mode):
        os.chown(path, account.uid, account.gid, follow_symlinks=False)
    if not _is_private(path, account):
        raise EmbeddedError(
            f"{path} is not a private directory of user {account.name}; "
            "the socket must not be put there.",
            hint="Find out who made it, then remove it.",
        )


def _is_private(path: Path, account: Account) -> bool:
    try:
        found = path.lstat()
    except OSError:
        return False
    private = stat.S_ISDIR(found.st_mode) and not found.st_mode & 0o077
    return private and found.st_uid == account.uid


def _remove_sockets(path: Path) -> None:
    """Remove dead servers' sockets, and their lock files.

    These name a pid, and PostgreSQL would take whoever has it by now for a server.
    """
    for left in path.glob(".s.PGSQL.*"):
        left.unlink(missing_ok=True)
