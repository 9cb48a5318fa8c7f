"""Settings of the database that end or fail what takes long; those of new sessions, and of old."""

import asyncio
import random
from contextlib import suppress
from typing import TYPE_CHECKING, LiteralString

import psycopg
from psycopg import sql

from pg_durable.torture.faults.base import Fault

if TYPE_CHECKING:
    from pg_durable.torture.arena import Arena

_SETTINGS: tuple[tuple[LiteralString, LiteralString], ...] = (
    ("statement_timeout", "150ms"),
    ("lock_timeout", "20ms"),
    ("idle_in_transaction_session_timeout", "20ms"),
    ("idle_session_timeout", "300ms"),
    ("transaction_timeout", "200ms"),
    ("default_transaction_isolation", "serializable"),
    ("default_transaction_read_only", "on"),
    ("synchronous_commit", "off"),
    ("plan_cache_mode", "force_generic_plan"),
)
# Waits for their ends, lest the round be over before a worker has noticed. A frozen one never ends.
_NEW_SESSIONS: LiteralString = """
    select pg_terminate_backend(pid, 1000) from pg_stat_activity
    where datname = current_database() and application_name like 'pg_durable:%'
"""


class Timeouts(Fault):
    """Timeouts and other settings of the database, for the workers as well."""

    async def inject(self, arena: "Arena", seconds: float, dice: random.Random) -> None:
        """See `Fault`."""
        name, value = dice.choice(_SETTINGS)
        if name == "transaction_timeout" and arena.server.version < 17:
            return
        database = sql.Identifier(arena.database)
        change = sql.SQL("alter database {} set {} = {}").format(
            database, sql.Identifier(name), sql.Literal(value)
        )
        back = sql.SQL("alter database {} reset {}").format(database, sql.Identifier(name))
        try:
            await _apply(arena, change)
            await asyncio.sleep(seconds)
        finally:
            await _until_applied(arena, back)


async def _apply(arena: "Arena", change: sql.Composed) -> None:
    # From another database, where nothing of this is in force.
    async with await arena.session("postgres") as session:
        await session.execute(change)
    async with await arena.session() as session:
        await session.execute(_NEW_SESSIONS)


async def _until_applied(arena: "Arena", change: sql.Composed) -> None:
    """It must be lifted, whatever else happens to the server meanwhile."""
    for _ in range(600):
        with suppress(psycopg.Error):
            await _apply(arena, change)
            return
        await asyncio.sleep(0.2)
