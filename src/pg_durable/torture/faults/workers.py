"""What happens to workers."""

import asyncio
import random
from typing import TYPE_CHECKING

from pg_durable.torture.faults.base import Fault

if TYPE_CHECKING:
    from pg_durable.torture.arena import Arena


class WorkerKilled(Fault):
    """SIGKILL; started again after a while. Sometimes all of them."""

    async def inject(self, arena: "Arena", seconds: float, dice: random.Random) -> None:
        """See `Fault`."""
        everybody = dice.random() < 0.2
        victims = list(arena.workers) if everybody else [dice.choice(arena.workers)]
        try:
            for victim in victims:
                await victim.kill()
            await asyncio.sleep(seconds)
        finally:
            for victim in victims:
                await victim.start()


class WorkerStopped(Fault):
    """SIGTERM; started again after a while."""

    async def inject(self, arena: "Arena", seconds: float, dice: random.Random) -> None:
        """See `Fault`."""
        victim = dice.choice(arena.workers)
        try:
            await victim.stop()
            await asyncio.sleep(seconds)
        finally:
            await victim.start()


class WorkerFrozen(Fault):
    """SIGSTOP for longer than the lease, where that is short; it wakes up as a zombie."""

    async def inject(self, arena: "Arena", seconds: float, dice: random.Random) -> None:
        """See `Fault`."""
        victim = dice.choice(arena.workers)
        try:
            victim.freeze()
            await asyncio.sleep(max(seconds, min(arena.plan.lease * 1.5, 6.0)))
        finally:
            victim.thaw()


class WorkerWithWrongClock(Fault):
    """A worker is started again on a host whose clock is off by hours, to and fro."""

    async def inject(self, arena: "Arena", seconds: float, dice: random.Random) -> None:
        """See `Fault`."""
        victim = dice.choice(arena.workers)
        victim.clock = dice.choice([-86400.0, -60.0, 60.0, 86400.0])
        await victim.kill()
        await victim.start()
        await asyncio.sleep(seconds)
        if dice.random() < 0.5:  # else it stays wrong to the end of the round
            victim.clock = 0.0
            await victim.kill()
            await victim.start()
