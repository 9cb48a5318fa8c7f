"""What happens to the server: it is killed, shut down, or one of its processes is."""

import asyncio
import random
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

import psutil

from pg_durable.torture.faults.base import Fault

if TYPE_CHECKING:
    from pg_durable.torture.arena import Arena


class ServerKilled(Fault):
    """SIGKILL of the postmaster; it is started again after a while."""

    async def inject(self, arena: "Arena", seconds: float, dice: random.Random) -> None:
        """See `Fault`."""
        try:
            arena.server.stay_down(True)
            arena.server.kill()
            await asyncio.sleep(seconds / 2)
        finally:
            arena.server.stay_down(False)


class ServerStopped(Fault):
    """`pg_ctl stop`, immediate or fast; started again after a while."""

    async def inject(self, arena: "Arena", seconds: float, dice: random.Random) -> None:
        """See `Fault`."""
        try:
            arena.server.stay_down(True)
            arena.server.shut_down(immediate=dice.random() < 0.5)
            await asyncio.sleep(seconds / 2)
        finally:
            arena.server.stay_down(False)


class BackendKilled(Fault):
    """SIGKILL of one process of the server: it restarts them all."""

    async def inject(self, arena: "Arena", seconds: float, dice: random.Random) -> None:
        """See `Fault`."""
        if processes := arena.server.processes():
            _send(dice.choice(processes), signal.SIGKILL)


class BackendFrozen(Fault):
    """SIGSTOP of some of its processes, and SIGCONT after a while."""

    async def inject(self, arena: "Arena", seconds: float, dice: random.Random) -> None:
        """See `Fault`."""
        processes = arena.server.processes()
        frozen = dice.sample(processes, min(len(processes), dice.randint(1, 5)))
        try:
            for process in frozen:
                _send(process, signal.SIGSTOP)
            await asyncio.sleep(seconds)
        finally:
            for process in frozen:
                _send(process, signal.SIGCONT)


def _send(process: psutil.Process, number: signal.Signals) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)
