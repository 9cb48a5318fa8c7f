"""Sessions that are led through a statement each, also where one waits for another's lock."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import psycopg
from psycopg.rows import TupleRow

from support.waiting import DEADLINE

BY_HAND = Path(__file__).with_name("by_hand.sql")


class Rows(NamedTuple):
    """What a statement has returned, the last one if there were more."""

    names: list[str]
    rows: list[TupleRow]


Answer = Rows | psycopg.Error


class SteppedSession:
    """A session whose statement may stay under way: until it ends, or waits for a lock."""

    def __init__(self, name: str, connection: psycopg.AsyncConnection) -> None:
        self.name = name
        self.connection = connection
        self.pid = connection.info.backend_pid
        self._task: asyncio.Task[Answer] | None = None

    @classmethod
    async def open(cls, name: str, conninfo: str, *settings: str) -> "SteppedSession":
        """Log in, and set what is to be set."""
        connection = await psycopg.AsyncConnection.connect(conninfo, autocommit=True)
        for setting in settings:
            await connection.execute(setting)
        return cls(name, connection)

    @property
    def waits(self) -> bool:
        """Whether a statement is under way."""
        return self._task is not None

    def begin(self, statement: str, params: Sequence[object] | None = None) -> None:
        """Send a statement."""
        assert self._task is None, f"session {self.name} is not through with its statement"
        self._task = asyncio.create_task(self._execute(statement, params))

    async def end(self, observer: psycopg.AsyncConnection, pids: list[int]) -> Answer | None:
        """The answer; None: it waits for a lock that one of the sessions `pids` has."""
        task = self._task
        assert task is not None
        async with asyncio.timeout(DEADLINE):
            while not task.done():
                blocked = await observer.execute(
                    "select pg_isolation_test_session_is_blocked(%s, %s)", (self.pid, pids)
                )
                if (await blocked.fetchone()) == (True,) and not task.done():
                    return None
                await asyncio.wait([task], timeout=0.002)
        self._task = None
        return task.result()

    async def close(self) -> None:
        """End the session, whatever it is at; what is open is rolled back."""
        if self._task is not None:
            self.connection.cancel()
            await self._task
        await self.connection.close()

    async def _execute(self, statement: str, params: Sequence[object] | None) -> Answer:
        try:
            cursor = await self.connection.execute(statement, params)
            while cursor.nextset():
                pass
            if cursor.description is None:
                return Rows([], [])
            return Rows([column.name for column in cursor.description], await cursor.fetchall())
        except psycopg.Error as error:
            return error
