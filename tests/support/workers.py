"""Workers: one in this process for speed, or real processes to be killed."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from pg_durable.engine.worker import Worker
from pg_durable.settings import Settings


@asynccontextmanager
async def worker_here(conninfo: str, **settings: str | float) -> AsyncIterator[Worker]:
    """A worker in this process and event loop."""
    worker = Worker(Settings.load({}, dsn=conninfo, **settings))
    task = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        worker.stop()
        await task


_started: list["WorkerProcess"] = []


def kill_what_is_left() -> None:
    """End the processes that a test has started and not stopped: a failed one stops nothing."""
    for worker in _started:
        if worker.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker.process.pid, signal.SIGKILL)
    _started.clear()


class WorkerProcess:
    """A worker as users run it: a process of its own."""

    def __init__(
        self, conninfo: str, *, through: Sequence[str] = (), **settings: str | float
    ) -> None:
        self._conninfo = conninfo
        self._through = through  # a program that runs it, such as `ip netns exec name`
        self._environment = {
            f"PG_DURABLE_{name.upper()}": str(value) for name, value in settings.items()
        }
        self.process: asyncio.subprocess.Process

    async def start(self) -> "WorkerProcess":
        """Start it; it may take a moment until it claims."""
        self.process = await asyncio.create_subprocess_exec(
            *self._through, sys.executable, "-m", "pg_durable", "worker", self._conninfo, "--quiet",
            env={**os.environ, **self._environment},
        )  # fmt: skip
        _started.append(self)
        return self

    async def kill(self) -> None:
        """SIGKILL: no chance to say goodbye."""
        self.process.kill()
        await self.process.wait()

    def freeze(self) -> None:
        """SIGSTOP: it looks alive to nobody but the operating system."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT: a zombie wakes up."""
        self.process.send_signal(signal.SIGCONT)

    async def stop(self) -> int:
        """SIGTERM, and wait for the end; returns the exit code."""
        if self.process.returncode is None:
            self.process.terminate()
        return await self.process.wait()
