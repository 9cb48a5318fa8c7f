"""Starting workflows: by a rate, whether or not others have ended; or as fast as they end."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import psycopg
from psycopg.conninfo import make_conninfo

from pg_durable.soak.mix import SIGNAL, Draw, Kind

_SESSIONS = 3  # of each role; a start takes about a millisecond
_LOOK = 0.1


@dataclass(slots=True)
class Driver:
    """Sessions that start workflows and send signals, and what they have started."""

    roles: list[str]
    draw: Draw
    instances: int = 0
    steps: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    _wanted: list[asyncio.Queue[tuple[Kind, list[str]] | str]] = field(default_factory=list)

    @classmethod
    @asynccontextmanager
    async def open(cls, dsn: str, roles: list[str], seed: int) -> "AsyncIterator[Driver]":
        """Log in as the roles; what was asked for is done before it ends."""
        driver = cls(roles, Draw(seed))
        async with asyncio.TaskGroup() as tasks:
            serving = []
            for role in roles:
                queue: asyncio.Queue[tuple[Kind, list[str]] | str] = asyncio.Queue()
                driver._wanted.append(queue)
                conninfo = make_conninfo(dsn, user=role, application_name="pg_durable:soak")
                serving += [
                    tasks.create_task(driver._serve(conninfo, queue)) for _ in range(_SESSIONS)
                ]
            try:
                yield driver
            finally:
                for task in serving:
                    task.cancel()

    @property
    def behind(self) -> int:
        """Starts that are due and wait for a session of ours."""
        return sum(queue.qsize() for queue in self._wanted)

    async def by_rate(self, rate: float, seconds: float) -> None:
        """Start so many a second, at instants by chance, for some seconds."""
        clock = asyncio.get_running_loop().time
        due = clock()
        end = due + seconds
        while due < end:
            due += self.draw.pause(rate)
            if (early := due - clock()) > 0:
                await asyncio.sleep(early)
            self._want()

    async def closely(self, dsn: str, unfinished: int, seconds: float) -> float:
        """Keep so many unfinished, for some seconds; returns how many ended in a second, after
        a third of the time for warming up."""
        clock = asyncio.get_running_loop().time
        begun = clock()
        counted_from: tuple[float, int] | None = None
        async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as session:
            while True:
                left = await self.unfinished(session)
                for _ in range(unfinished - left - self.behind):
                    self._want()
                ended = self.instances - left
                now = clock()
                if counted_from is None and now - begun >= seconds / 3:
                    counted_from = (now, ended)
                elif counted_from is not None and now - begun >= seconds:
                    return (ended - counted_from[1]) / (now - counted_from[0])
                await asyncio.sleep(_LOOK)

    async def drain(self, dsn: str, within: float) -> int:
        """Wait until all that was started has ended; returns how many have not in time."""
        async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as session:
            give_up = asyncio.get_running_loop().time() + within
            while left := self.behind + await self.unfinished(session):
                if asyncio.get_running_loop().time() > give_up:
                    break
                await asyncio.sleep(_LOOK)
            return left

    @staticmethod
    async def unfinished(session: psycopg.AsyncConnection) -> int:
        """Instances that have not ended."""
        cursor = await session.execute(
            "select count(*) from df.instances where status in ('pending', 'running')"
        )
        row = await cursor.fetchone()
        return int(row[0]) if row else 0

    def _want(self) -> None:
        role = self.instances + self.behind
        self._wanted[role % len(self._wanted)].put_nowait(self.draw.next())

    async def _serve(
        self, conninfo: str, queue: "asyncio.Queue[tuple[Kind, list[str]] | str]"
    ) -> None:
        async with await psycopg.AsyncConnection.connect(conninfo, autocommit=True) as session:
            while True:
                match await queue.get():
                    case str(instance):
                        await session.execute("select df.signal(%s, %s)", (instance, SIGNAL))
                    case (kind, statements):
                        instance = await self._start(session, kind, statements)
                        if kind.signalled is not None:
                            asyncio.get_running_loop().call_later(
                                kind.signalled, queue.put_nowait, instance
                            )

    async def _start(
        self, session: psycopg.AsyncConnection, kind: Kind, statements: list[str]
    ) -> str:
        query = f"select df.start({kind.expression}, %s)"
        cursor = await session.execute(query, (*statements, kind.name))
        row = await cursor.fetchone()
        assert row is not None
        self.instances += 1
        self.steps += kind.steps
        self.kinds[kind.name] += 1
        return str(row[0])
