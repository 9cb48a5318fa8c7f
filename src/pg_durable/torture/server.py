"""A PostgreSQL server that is there to be killed, and is started again until it runs.

Unlike an `EmbeddedServer` it has no keeper: when it starts again is the harness's business.
"""

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg
from psycopg.conninfo import make_conninfo

from pg_durable.embedded.account import server_account
from pg_durable.embedded.binaries import find_binaries, usable_by
from pg_durable.embedded.cluster import Cluster
from pg_durable.embedded.contract import Plan
from pg_durable.embedded.places import Places
from pg_durable.embedded.processes import end_leftovers, read_postmaster_file

MAX_CONNECTIONS = 80
_SETTINGS = {
    # A SIGKILL loses nothing of what the kernel has; only a power cut would.
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": str(MAX_CONNECTIONS),
    "max_prepared_transactions": "5",
    "shared_buffers": "64MB",
    "min_wal_size": "32MB",
    "max_wal_size": "96MB",
    "autovacuum_naptime": "5s",
    "deadlock_timeout": "200ms",
    "log_min_messages": "warning",
}
_PORT = 5432
_DISK = "384m"
_POLL = 0.02
_HANGS = 30.0  # seconds in which a server has started or shut down


class Server:
    """A server in a directory of its own, and a file system of its own where that is allowed."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="pg_durable_torture_"))
        self.own_disk = _mount(self.directory)
        self._places = Places.of(self.directory)
        self._places.make()
        self._account = server_account(self._places.data)
        plan = Plan(
            places=self._places,
            binaries=usable_by(self._account, find_binaries()),
            listen=None,
            port=_PORT,
            settings=_SETTINGS,
        )
        self.version = plan.binaries.version
        self._cluster = Cluster(plan, self._account)
        self.socket_directory = self._places.run  # or elsewhere, where its path is too long
        self._process: subprocess.Popen[bytes] | None = None
        self._wanted = False
        self._guard: asyncio.Task[None] | None = None
        self.starts = 0

    async def open(self) -> None:
        """Make the cluster, start the server, and see to it that it goes on running."""
        await asyncio.to_thread(self._cluster.prepare)
        self._wanted = True
        self._guard = asyncio.create_task(self._keep_up())
        await self.until_ready(within=120)

    async def close(self, *, keep: bool = False) -> None:
        """End it, and remove its directory unless it is to be kept."""
        if self._guard is not None:
            self._guard.cancel()
        await asyncio.to_thread(end_leftovers, self._places.data)
        if self._process is not None:
            await asyncio.to_thread(self._process.wait)
        self._places.remove_socket_directory(self._account)
        if not keep:
            await asyncio.to_thread(self._remove)

    def _remove(self) -> None:
        if self.own_disk:
            subprocess.run(["umount", "-l", self.directory], check=False)
        shutil.rmtree(self.directory, ignore_errors=True)

    def dsn(self, database: str, user: str = "postgres") -> str:
        """Where the server is, whether it runs just now or not."""
        return make_conninfo(
            host=str(self.socket_directory), port=_PORT, dbname=database, user=user
        )

    @property
    def log_file(self) -> Path:
        return self._places.server_log

    @property
    def postmaster(self) -> psutil.Process | None:
        """The main process, if there is one."""
        if self._process is None or self._process.poll() is not None:
            return None
        with suppress(psutil.NoSuchProcess):
            return psutil.Process(self._process.pid)
        return None

    def processes(self) -> list[psutil.Process]:
        """Its children: sessions, and those that serve the server itself."""
        if (postmaster := self.postmaster) is None:
            return []
        with suppress(psutil.NoSuchProcess):
            return postmaster.children()
        return []

    def kill(self) -> None:
        """SIGKILL of the main process. Its children notice, sooner or later."""
        self._send(signal.SIGKILL)

    def shut_down(self, *, immediate: bool) -> None:
        """What `pg_ctl stop` sends, in the modes fast and immediate."""
        self._send(signal.SIGQUIT if immediate else signal.SIGINT)

    def stay_down(self, down: bool) -> None:
        """Whether it is not started again for the time being."""
        self._wanted = not down

    async def until_ready(self, within: float) -> None:
        """Return when it accepts connections.

        Raises:
            TimeoutError: it does not in time.
        """
        async with asyncio.timeout(within):
            while not await self._answers():  # noqa: ASYNC110 -- another process's state
                await asyncio.sleep(_POLL)

    def _says_ready(self) -> bool:
        written = read_postmaster_file(self._places.data)
        return written is not None and written.ready and self.postmaster is not None

    async def _answers(self) -> bool:
        if not self._says_ready():
            return False
        try:
            dsn = make_conninfo(self.dsn("postgres"), connect_timeout=5)
            async with await psycopg.AsyncConnection.connect(dsn):
                return True
        except psycopg.Error:
            return False

    async def _keep_up(self) -> None:
        clock = asyncio.get_running_loop().time
        since = clock()
        while True:
            if self._wanted and self.postmaster is None:
                await self._start()
                since = clock()
            elif not self._wanted or self._says_ready():
                since = clock()
            elif clock() - since > _HANGS:  # shut down while it recovers, one may wait for ever
                self.kill()
                since = clock()
            await asyncio.sleep(_POLL)

    async def _start(self) -> None:
        if self._process is not None:
            self._process.wait()
        # Sessions that outlived their postmaster hold the old shared memory, and end by themselves
        # only when they look.
        await asyncio.to_thread(end_leftovers, self._places.data)
        with suppress(FileNotFoundError):
            (self._places.data / "postmaster.pid").unlink()
        self.socket_directory = self._places.make_socket_directory(self._account, _PORT)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        log = os.open(self._places.server_log, flags, 0o600)
        try:
            # From the main thread: the server ends with the thread that has started it.
            self._process = self._cluster.launch(self.socket_directory, log)
            self.starts += 1
        finally:
            os.close(log)

    def _send(self, number: signal.Signals) -> None:
        if (postmaster := self.postmaster) is not None:
            with suppress(psutil.NoSuchProcess):
                postmaster.send_signal(number)


def _mount(directory: Path) -> bool:
    """Put a small file system of its own there, so that it can be filled; False: not allowed."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        return False
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={_DISK},mode=0755", "tmpfs", directory],
        stderr=subprocess.DEVNULL,
        check=False,
    )
    return done.returncode == 0
