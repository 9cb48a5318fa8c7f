"""Servers that have the library preloaded, and the processes they consist of."""

import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import psycopg
import pytest

from pg_durable import extension
from pg_durable.embedded import EmbeddedServer, find_binaries
from pg_durable.embedded.account import server_account
from pg_durable.embedded.children import start_child
from pg_durable.schema import install
from support.database import Database
from support.waiting import until

SOURCES = Path(__file__).parents[2] / "extension"
LIBRARY_ALONE = ("EXTENSION=", "DATA_built=")
COMMAND = f"{shlex.quote(sys.executable)} -m pg_durable"
FAST = {
    "fsync": "off",
    "shared_buffers": "16MB",
    "shared_preload_libraries": "pg_durable",
    "pg_durable.worker_command": COMMAND,
    "pg_durable.enable_superuser_instances": "on",
}


def build_library(folder: Path) -> Path:
    """Compile the library for the server under test; the directory it is in."""
    pg_config = find_binaries().program("pg_config")
    compiler = extension._compiler()
    if not pg_config.exists() or not compiler:
        pytest.skip("a C compiler and PostgreSQL's header files are needed to build the library")
    folder.chmod(0o755)
    built = folder / "library"
    shutil.copytree(SOURCES, built, ignore=shutil.ignore_patterns("*.o", "*.so"))
    made = subprocess.run(
        ["make", "--silent", "-C", built, f"PG_CONFIG={pg_config}", *compiler, *LIBRARY_ALONE],
        check=True,
        env={k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL")},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert "warning:" not in made.stderr
    return built


def skip_unless_runnable(folder: Path) -> None:
    """Skip where the user that root's server runs as cannot run this Python."""
    account = server_account(folder / "data")
    try:
        runs = start_child(
            account,
            [sys.executable, "-c", "import pg_durable"],
            output=subprocess.DEVNULL,
            at_our_death=signal.SIGKILL,
        ).wait()
    except PermissionError:  # it may not enter a directory on the way there
        runs = None
    if runs != 0:
        pytest.skip(f"the user {account.name} cannot run {sys.executable}")


@contextmanager
def launched(folder: Path, library: Path, **settings: str) -> Iterator["LaunchedServer"]:
    """A server with the library preloaded and the schema installed, which runs a worker."""
    skip_unless_runnable(folder)
    ours = {"dynamic_library_path": f"{library}:$libdir", **FAST}
    given = {name.replace("__", "."): value for name, value in settings.items()}
    with EmbeddedServer(folder, settings=ours | given) as server:
        install(server.dsn())
        yield LaunchedServer(server)


class LaunchedServer:
    """A server and its processes, by what they are."""

    def __init__(self, server: EmbeddedServer) -> None:
        self.server = server
        self.data = server.data_dir

    @property
    def dsn(self) -> str:
        """The database postgres, as its superuser."""
        return self.server.dsn()

    @property
    def log(self) -> str:
        """All that the server and the worker have said."""
        return self.server.log_file.read_text()

    async def connect(self, database: str = "postgres") -> Database:
        """A session, as soon as the server gives one."""
        found: list[Database] = []

        async def connected() -> bool:
            with suppress(psycopg.OperationalError):
                found.append(await Database.connect(self.server.dsn(database)))
            return bool(found)

        await until(connected, within=60)
        return found[0]

    def postmaster(self) -> psutil.Process | None:
        """The server's main process."""
        pid = self.server.postmaster_pid
        with suppress(psutil.NoSuchProcess):
            return psutil.Process(pid) if pid else None
        return None

    def processes(self) -> list[psutil.Process]:
        """Everything that works in the data directory, as all processes of the server do."""
        return processes_in(self.data)

    def workers(self) -> list[psutil.Process]:
        """Processes that are a worker of this server, its own or an orphan."""
        return [p for p in self.processes() if "launched" in _command(p)]

    def launchers(self) -> list[psutil.Process]:
        """Launchers of this server."""
        return [p for p in self.processes() if "pg_durable launcher" in _command(p)[0]]

    def backends(self) -> list[psutil.Process]:
        """Sessions."""
        return [p for p in self.processes() if "[local]" in _command(p)[0]]

    async def worker(self, *, besides: psutil.Process | None = None) -> psutil.Process:
        """The one worker there is, when it is there: a child of the launcher."""
        found: list[psutil.Process] = []

        async def alone() -> bool:
            found[:] = self.workers()
            return len(found) == 1 and found[0] != besides and await self.has_no_orphan()

        await until(alone, within=60)
        return found[0]

    async def has_no_orphan(self) -> bool:
        """Whether each worker that there is has a launcher, and each launcher the postmaster."""
        workers, launchers, postmaster = self.workers(), self.launchers(), self.postmaster()
        return _children(workers, launchers) and _children(
            launchers, [postmaster] if postmaster else []
        )


def processes_in(data: Path) -> list[psutil.Process]:
    """Processes whose working directory it is."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.cwd() == str(data) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


async def until_gone(*processes: psutil.Process) -> None:
    """Wait until none of them runs; process 1 may take its time to reap them."""

    async def gone() -> bool:
        return not any(_runs(process) for process in processes)

    await until(gone, within=60)


def kill(process: psutil.Process, number: signal.Signals = signal.SIGKILL) -> None:
    """Send a signal to one that may have ended just now."""
    with suppress(ProcessLookupError):
        os.kill(process.pid, number)


def _children(processes: list[psutil.Process], parents: list[psutil.Process]) -> bool:
    pids = {parent.pid for parent in parents}
    with suppress(psutil.NoSuchProcess):
        return all(process.ppid() in pids for process in processes)
    return False


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _command(process: psutil.Process) -> list[str]:
    with suppress(psutil.Error):
        return process.cmdline() or [""]
    return [""]
