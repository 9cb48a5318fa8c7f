"""Worker processes: started, killed, frozen, stopped, and started again."""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

_STOP_PATIENCE = 60.0

# Put before everything else that a worker's interpreter imports, so that its host's clock seems
# to be off. What measures spans of time goes on as it was, as on a real host.
_WRONG_CLOCK = """
import datetime, os, time
_off, _time = float(os.environ["TORTURE_CLOCK"]), time.time
time.time = lambda: _time() + _off
time.time_ns = lambda: int(time.time() * 1e9)
class _DateTime(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(time.time(), tz)
    @classmethod
    def utcnow(cls):
        return cls.now(datetime.timezone.utc).replace(tzinfo=None)
datetime.datetime = _DateTime
"""


class WorkerProcess:
    """One worker as users run it, which is started again when it is killed."""

    def __init__(self, number: int, dsn: str, settings: Mapping[str, str], logs: Path) -> None:
        self.number = number
        self.log = logs / f"worker-{number}.log"
        self.dsn = dsn
        self.frozen = False
        self.clock = 0.0  # how far its host's clock is off, in seconds
        self.complaints: list[str] = []  # what it did that no worker may
        self._wrong_clock = logs / "clock"
        self._wrong_clock.mkdir(exist_ok=True)  # now, while there is room on the disk
        (self._wrong_clock / "sitecustomize.py").write_text(_WRONG_CLOCK)
        self._environment = {
            f"PG_DURABLE_{name.upper()}": value for name, value in settings.items()
        }
        self._process: asyncio.subprocess.Process | None = None
        self._starting = asyncio.Lock()
        self._ending = False  # somebody wants it to
        self._watch: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """Of the process, if it runs."""
        running = self._process is not None and self._process.returncode is None
        return self._process.pid if self._process is not None and running else None

    async def start(self) -> None:
        """Start it unless it runs; it may take a moment until it claims."""
        async with self._starting:
            if self.pid is None:
                await self._start()

    async def _start(self) -> None:
        environment = {**os.environ, **self._environment}
        if self.clock:
            path = [str(self._wrong_clock), *filter(None, [os.environ.get("PYTHONPATH")])]
            environment |= {
                "TORTURE_CLOCK": str(self.clock),
                "PYTHONPATH": os.pathsep.join(path),
            }
        log = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "pg_durable", "worker", self.dsn),
                *("--wait-for-server", "--until-input-ends", "--verbose"),
                env=environment,
                stdin=asyncio.subprocess.PIPE,  # it ends when we do
                stdout=log,
                stderr=log,
            )
        finally:
            os.close(log)
        self._ending = False
        self._watch = asyncio.create_task(self._complain_if_it_ends(self._process))

    async def _complain_if_it_ends(self, process: asyncio.subprocess.Process) -> None:
        code = await process.wait()
        if not self._ending:
            self.complaints.append(f"it ended by itself, with exit code {code}")
            await self.start()

    async def kill(self) -> None:
        """SIGKILL: no chance to say goodbye."""
        self._ending = True
        self._send(signal.SIGKILL)
        await self._ended()

    async def stop(self) -> None:
        """SIGTERM, and wait for the end."""
        self._ending = True
        self.thaw()
        self._send(signal.SIGTERM)
        try:
            async with asyncio.timeout(_STOP_PATIENCE):
                await self._ended()
        except TimeoutError:
            self.complaints.append(f"it has not ended {_STOP_PATIENCE:.0f} s after SIGTERM")
            await self.kill()
        code = None if self._process is None else self._process.returncode
        # One that has just been started may not listen yet, and then holds nothing either.
        if code not in (0, -signal.SIGKILL, -signal.SIGTERM):
            self.complaints.append(f"it ended with exit code {code} after SIGTERM")

    def freeze(self) -> None:
        """SIGSTOP: it looks alive to nobody but the operating system."""
        self.frozen = True
        self._send(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT: a zombie wakes up."""
        self.frozen = False
        self._send(signal.SIGCONT)

    async def _ended(self) -> None:
        if self._process is not None:
            await self._process.wait()

    def _send(self, number: signal.Signals) -> None:
        if self.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)
