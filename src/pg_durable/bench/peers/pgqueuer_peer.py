"""pgqueuer: a queue of jobs; each job does the one statement."""

import asyncio

import psycopg
import uvloop
from pgqueuer import PgQueuer
from pgqueuer.db import PsycopgDriver
from pgqueuer.queries import Queries
from psycopg_pool import AsyncConnectionPool

from pg_durable.bench.peers.shape import start_tally

_AT_ONCE = 10
_BATCH = 300


def prepare(dsn: str, shape: str, count: int) -> None:
    """Install its schema, and enqueue so many jobs."""

    async def prepared() -> None:
        async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as session:
            queries = Queries(PsycopgDriver(session))
            await queries.install()
            await queries.enqueue(["select_one"] * count, [None] * count, [0] * count)

    asyncio.run(prepared())


def work(dsn: str, shape: str, count: int) -> None:
    """Run jobs, a batch at a time, until the process is killed."""
    tally = start_tally()

    async def worked() -> None:
        pool = AsyncConnectionPool(
            dsn, min_size=_AT_ONCE, max_size=_AT_ONCE, kwargs={"autocommit": True}, open=False
        )
        async with pool, await psycopg.AsyncConnection.connect(dsn, autocommit=True) as session:
            queuer = PgQueuer(PsycopgDriver(session))

            async def select_one(job: object) -> None:
                tally.add_one()
                async with pool.connection() as own:
                    await own.execute("select 1 as a")

            queuer.entrypoint("select_one")(select_one)
            await queuer.run(batch_size=_BATCH)

    uvloop.run(worked())
