"""What an administrator may do to sessions: end them, cancel their statements, use them all up."""

import asyncio
import random
from contextlib import suppress
from typing import TYPE_CHECKING, LiteralString

import psycopg

from pg_durable.torture.faults.base import Fault
from pg_durable.torture.server import MAX_CONNECTIONS

if TYPE_CHECKING:
    from pg_durable.torture.arena import Arena

# Sessions of workers, and of those alone: clients have an answer of their own to a lost session.
_STORM: LiteralString = """
    select {}(pid) from pg_stat_activity
    where datname = current_database() and application_name like 'pg_durable:%%'
    order by random() limit %s
"""


class _Storm(Fault):
    function: LiteralString

    async def inject(self, arena: "Arena", seconds: float, dice: random.Random) -> None:
        """See `Fault`."""
        end = asyncio.get_running_loop().time() + seconds
        async with await arena.session() as session:
            while asyncio.get_running_loop().time() < end:
                await session.execute(_STORM.format(self.function), [dice.randint(1, 12)])
                await asyncio.sleep(dice.random() * 0.4)


class SessionsEnded(_Storm):
    """pg_terminate_backend on the workers' sessions, again and again."""

    function = "pg_terminate_backend"


class StatementsCancelled(_Storm):
    """pg_cancel_backend on whatever the workers' sessions do, again and again."""

    function = "pg_cancel_backend"


class ConnectionsExhausted(Fault):
    """Idle sessions take all connections that there are."""

    async def inject(self, arena: "Arena", seconds: float, dice: random.Random) -> None:
        """See `Fault`."""
        end = asyncio.get_running_loop().time() + seconds
        idle: list[psycopg.AsyncConnection] = []
        try:
            while asyncio.get_running_loop().time() < end:
                if len(idle) < MAX_CONNECTIONS:
                    with suppress(psycopg.OperationalError):
                        idle.append(await _idle_session(arena))
                        continue
                await asyncio.sleep(0.05)  # whenever one is let go of, take that as well
        finally:
            for session in idle:
                with suppress(psycopg.Error):
                    await session.close()


async def _idle_session(arena: "Arena") -> psycopg.AsyncConnection:
    role = arena.plan.workflows[0].role
    return await psycopg.AsyncConnection.connect(arena.dsn(role), connect_timeout=5)
