"""The cluster in a data directory: made by initdb, opened to one user, run by postgres."""

import locale
import os
import shutil
import signal
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pg_durable.embedded.account import Account, invoking_user
from pg_durable.embedded.children import reaches, start_child
from pg_durable.embedded.contract import Plan
from pg_durable.embedded.processes import end_leftovers
from pg_durable.errors import EmbeddedError

DEFAULTS = {
    "max_connections": "200",
    # Whoever may connect at all may be the superuser, so there is nobody to protect from it.
    "pg_durable.enable_superuser_instances": "on",
}
_ELSEWHERE = ("config_file", "data_directory", "hba_file", "ident_file")
_LONGEST_DATA_PATH = 900  # PostgreSQL cuts paths at 1023 bytes, its own names included


class Cluster:
    """One data directory, and the user and programs it is made and served with."""

    def __init__(self, plan: Plan, account: Account) -> None:
        self.data = plan.places.data
        self._plan = plan
        self._account = account

    def prepare(self) -> None:
        """Make the cluster if there is none, and let in whom the plan says.

        Raises:
            EmbeddedError: initdb failed, or the data are not for these binaries.
        """
        if not (self.data / "PG_VERSION").exists():
            self._make()
        self._check_version()
        trusts_all_names = self._plan.binaries.version >= 16
        self._write("pg_hba.conf", _access_rules(self._plan.listen, by_name=trusts_all_names))
        # The server's own account too: df.start(transaction_mode => 'new') connects from there.
        users = dict.fromkeys((invoking_user(), self._account.name))
        self._write("pg_ident.conf", _name_map(users, everyone=trusts_all_names))

    def launch(self, socket_dir: Path, log: int) -> subprocess.Popen[bytes]:
        """Start postgres as a child that is shut down when the calling thread ends."""
        ours = {
            "listen_addresses": self._plan.listen or "",
            "port": str(self._plan.port),
            "unix_socket_directories": str(socket_dir),
            "unix_socket_permissions": "0700",
            "log_destination": "stderr",
            "logging_collector": "off",
        }
        for name in self._plan.settings:
            if name.lower() in ours or name.lower() in _ELSEWHERE:
                raise EmbeddedError(
                    f"The setting {name} of an embedded server is not yours to give.",
                    hint="Use the arguments directory, listen and port.",
                )
        options = DEFAULTS | dict(self._plan.settings) | ours
        with self._nameable(self.data) as (name, descriptors):
            return start_child(
                self._account,
                [
                    self._plan.binaries.program("postgres"),
                    f"-D{name}",
                    *(f"-c{option}={value}" for option, value in options.items()),
                ],
                output=log,
                at_our_death=signal.SIGINT,
                descriptors=descriptors,
            )

    def _make(self) -> None:
        """Run initdb in a directory of another name: a half-made cluster is never taken for one."""
        if self.data.exists() and any(self.data.iterdir()):
            raise EmbeddedError(
                f"{self.data} is neither empty nor the data directory of a PostgreSQL.",
                hint="Choose another directory, or move its content away.",
            )
        new = self.data.with_name("data.new")
        if new.exists():  # an earlier initdb was interrupted
            end_leftovers(new)
            shutil.rmtree(new)
        new.mkdir(mode=0o700)
        if self._account.borrowed:
            os.chown(new, self._account.uid, self._account.gid)
        self._run_initdb(new)
        new.rename(self.data)
        _sync(self.data.parent)

    def _run_initdb(self, data: Path) -> None:
        durable = self._plan.settings.get("fsync", "on").lower() not in ("off", "false", "no", "0")
        with self._nameable(data) as (name, descriptors):
            initdb = start_child(
                self._account,
                [
                    self._plan.binaries.program("initdb"),
                    f"--pgdata={name}",
                    "--username=postgres",
                    "--encoding=UTF8",
                    # Sorted by bytes, which is fast and the same everywhere; letters are Unicode.
                    "--locale=C",
                    f"--lc-ctype={_ctype()}",
                    "--data-checksums",
                    "--auth-local=peer",
                    "--auth-host=scram-sha-256",
                    "--no-instructions",
                    *([] if durable else ["--no-sync"]),
                ],
                output=subprocess.PIPE,
                at_our_death=signal.SIGKILL,
                descriptors=descriptors,
            )
        said, _ = initdb.communicate()
        if initdb.returncode != 0:
            lines = said.decode(errors="replace").strip().splitlines()
            raise EmbeddedError(
                f"initdb could not make {self.data}. It says:", hint="\n".join(lines[-5:])
            )

    def _check_version(self) -> None:
        made_by = (self.data / "PG_VERSION").read_text().strip()
        binaries = self._plan.binaries
        if made_by != str(binaries.version):
            raise EmbeddedError(
                f"The data in {self.data} were made by PostgreSQL {made_by}, but the programs "
                f"in {binaries.bin} are PostgreSQL {binaries.version}.",
                hint=f"Set PG_DURABLE_PG_BIN to the bin directory of a PostgreSQL {made_by}; to "
                f"change over, dump with {made_by} and restore into a new directory.",
            )

    def _write(self, name: str, text: str) -> None:
        """Replace a file in the data directory.

        Root writes here where the server's user may plant links. A new file never follows
        one, and renaming replaces a link instead of its target.
        """
        new = self.data / f"{name}.new"
        new.unlink(missing_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with os.fdopen(os.open(new, flags, 0o600), "w", encoding="utf-8") as file:
            file.write(f"# Written anew at every start by pg_durable.\n{text}")
            if self._account.borrowed:
                os.fchown(file.fileno(), self._account.uid, self._account.gid)
        new.replace(self.data / name)

    @contextmanager
    def _nameable(self, data: Path) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Give the directory a name for a child to use, and the descriptors to pass with it.

        A path that is too long for PostgreSQL, or leads through a directory closed to the
        server's user, is replaced by an open descriptor. Its link in /proc leads straight to
        the directory, for the child and all its forks, whatever the path to it.
        """
        simple = len(os.fsencode(data)) <= _LONGEST_DATA_PATH and "\n" not in str(data)
        if simple and reaches(self._account, data):
            yield str(data), ()
            return
        if not Path("/proc/self/fd").exists():
            raise EmbeddedError(
                f"The user {self._account.name}, whom the server runs as, cannot use {data}.",
                hint="Choose a shorter path that every user may pass through.",
            )
        descriptor = os.open(data, os.O_RDONLY | os.O_DIRECTORY)
        try:
            yield f"/proc/self/fd/{descriptor}", (descriptor,)
        finally:
            os.close(descriptor)


def _access_rules(listen: str | None, *, by_name: bool) -> str:
    # Before version 16 no rule can say "this user, as any role". There the socket itself is
    # the gate: its directory is 0700, so only its owner and root get to it.
    method = "peer map=pg_durable" if by_name else "trust"
    rules = f"local all all {method}\nlocal replication all {method}\n"
    if listen:
        rules += "host all all all scram-sha-256\n"
    return rules


def _name_map(users: Iterable[str], *, everyone: bool) -> str:
    if not everyone:
        return ""
    quoted = ['"' + user.replace('"', '""') + '"' for user in users]
    return "".join([f"pg_durable {user} all\n" for user in quoted])


def _ctype() -> str:
    """Return C.UTF-8 where the operating system has it, else C."""
    before = locale.setlocale(locale.LC_CTYPE)
    try:
        locale.setlocale(locale.LC_CTYPE, "C.UTF-8")
    except locale.Error:
        return "C"
    locale.setlocale(locale.LC_CTYPE, before)
    return "C.UTF-8"


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
