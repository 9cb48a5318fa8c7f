"""Real servers, most of them in one directory that every test of a process uses in turn.

Making a cluster takes longer than most of these tests, so what a test leaves in the
shared one (a table, a role) has a name of its own.
"""

import os
import pwd
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from pg_durable.embedded import EmbeddedServer, find_binaries
from pg_durable.embedded.account import Account
from pg_durable.embedded.binaries import usable_by

FAST = {"fsync": "off", "shared_buffers": "16MB"}

Move = Callable[[Path], Path]
Start = Callable[..., EmbeddedServer]
Ask = Callable[[str, str], object]
AskAs = Callable[[str, str, str], subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory of a server that was started and stopped."""
    with EmbeddedServer(tmp_path_factory.mktemp("shared") / "server", settings=FAST) as server:
        pass
    return server.directory


@pytest.fixture
def move(shared: Path) -> Iterator[Move]:
    """Move the shared directory elsewhere until the test ends."""
    homes = []

    def move(home: Path) -> Path:
        home.parent.mkdir(parents=True, exist_ok=True)
        homes.append(shared.rename(home))
        return home

    yield move
    for home in homes:
        home.rename(shared)


@pytest.fixture
def directory(shared: Path) -> Path:
    """Return the shared directory; root's is behind pytest's own, which is closed to others."""
    return shared


@pytest.fixture
def start(move: Move) -> Iterator[Start]:
    """Start servers that are released, and must then be gone, before any move is undone."""
    servers: list[EmbeddedServer] = []

    def start(directory: Path, **options: object) -> EmbeddedServer:
        given = options.pop("settings", {})
        assert isinstance(given, dict)
        server = EmbeddedServer(directory, settings=FAST | given, **options)  # type: ignore[arg-type]
        servers.append(server)
        server.start()
        return server

    yield start
    for server in servers:
        server.release()
    assert [server.postmaster_pid for server in servers] == [None] * len(servers)


@pytest.fixture
def ask() -> Ask:
    """Run one statement in a connection of its own; return the first value, if there is one."""

    def ask(dsn: str, statement: str) -> object:
        with psycopg.connect(dsn, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            row = cursor.fetchone() if cursor.description else None
            return row[0] if row else None

    return ask


@pytest.fixture
def ask_as(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AskAs:
    """Run one statement with psql as another user of the operating system."""
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    monkeypatch.setenv("PG_DURABLE_CACHE", str(tmp_path / "cache"))

    def ask_as(name: str, dsn: str, statement: str) -> subprocess.CompletedProcess[str]:
        entry = pwd.getpwnam(name)
        account = Account(name=name, uid=entry.pw_uid, gid=entry.pw_gid, borrowed=True)
        psql = usable_by(account, find_binaries()).program("psql")
        return subprocess.run(
            [psql, "--no-psqlrc", "--tuples-only", "--no-align", f"--command={statement}", dsn],
            user=account.uid,
            group=account.gid,
            extra_groups=[],
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )

    return ask_as


@pytest.fixture
def enterable() -> Iterator[Path]:
    """Return a directory with a short path that every user can pass through."""
    with tempfile.TemporaryDirectory(prefix="pgd", dir="/tmp") as name:
        path = Path(name)
        path.chmod(0o755)
        yield path
