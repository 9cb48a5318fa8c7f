"""Locks that others hold for a while, and transactions that stay open."""

import asyncio
import random
from typing import TYPE_CHECKING, LiteralString

from pg_durable.torture.faults.base import Fault

if TYPE_CHECKING:
    from pg_durable.torture.arena import Arena

_TABLES: tuple[LiteralString, ...] = (
    "lock table torture.ledger in share mode",
    "lock table torture.ledger in access exclusive mode",
    "update torture.rows set n = n",
)
_ROWS: tuple[LiteralString, ...] = (
    "select from df.instances order by random() limit 20 for update",
    "select from df.instances order by created_at desc limit 20 for key share",
    "select from df.nodes order by random() limit 50 for update",
    "select from df._worker_epoch for update",
    "select df.cancel(id) from df.instances order by random() limit 10",
    "select df.signal(id, 'other') from df.instances where status = 'running' limit 10",
)


class _Held(Fault):
    statements: tuple[LiteralString, ...]

    async def inject(self, arena: "Arena", seconds: float, dice: random.Random) -> None:
        """See `Fault`."""
        async with await arena.session() as session, session.transaction(force_rollback=True):
            for statement in dice.sample(self.statements, 2):
                # Who waits for us may hold what we want: then it is us who give up.
                await session.execute("set local deadlock_timeout = '10ms'")
                await session.execute(statement)
            await asyncio.sleep(seconds)


class TablesLocked(_Held):
    """The tables in which steps write are locked by an open transaction."""

    statements = _TABLES


class RowsLocked(_Held):
    """So are rows of instances, nodes and workers; cancellations and signals stay open, and are
    rolled back."""

    statements = _ROWS


class SnapshotHeld(Fault):
    """An old transaction stays open to the end of the round, so that nothing can be vacuumed."""

    async def inject(self, arena: "Arena", seconds: float, dice: random.Random) -> None:
        """See `Fault`."""
        async with await arena.session() as session, session.transaction():
            await session.execute("set transaction isolation level repeatable read")
            await session.execute("select count(*) from torture.ledger")
            await asyncio.sleep(arena.plan.seconds)
