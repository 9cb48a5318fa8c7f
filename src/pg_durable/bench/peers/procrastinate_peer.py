"""procrastinate: a queue of jobs; each job does the one statement."""

import asyncio

from procrastinate import App, PsycopgConnector
from psycopg_pool import AsyncConnectionPool

from pg_durable.bench.peers.shape import start_tally

_AT_ONCE = 10
_BATCH = 1_000


def prepare(dsn: str, shape: str, count: int) -> None:
    """Install its schema, and defer so many jobs."""

    async def prepared() -> None:
        app = App(connector=PsycopgConnector(conninfo=dsn))
        async with app.open_async():
            await app.schema_manager.apply_schema_async()
            defer = app.configure_task("select_one", queue="bench")
            for first in range(0, count, _BATCH):
                await defer.batch_defer_async(*[{} for _ in range(min(_BATCH, count - first))])

    asyncio.run(prepared())


def work(dsn: str, shape: str, count: int) -> None:
    """Run jobs, several at a time, until the process is killed."""
    tally = start_tally()

    async def worked() -> None:
        app = App(
            connector=PsycopgConnector(conninfo=dsn, min_size=_AT_ONCE, max_size=_AT_ONCE + 5)
        )
        pool = AsyncConnectionPool(
            dsn, min_size=_AT_ONCE, max_size=_AT_ONCE, kwargs={"autocommit": True}, open=False
        )

        async def select_one() -> None:
            tally.add_one()
            async with pool.connection() as session:
                await session.execute("select 1 as a")

        app.task(name="select_one", queue="bench")(select_one)
        async with pool, app.open_async():
            await app.run_worker_async(
                queues=["bench"], concurrency=_AT_ONCE, fetch_job_polling_interval=0.1
            )

    asyncio.run(worked())
