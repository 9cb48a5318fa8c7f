"""Steps in another database, and the worker killed: at least once, and once by their key."""

import asyncio
import random
from collections.abc import AsyncIterator

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from pg_durable.embedded import EmbeddedServer
from support.database import Database
from support.waiting import until
from support.workers import WorkerProcess, worker_here

KILLS = 15
WORKFLOWS = 150
STEPS = 4

# A step notes that it ran, and has its effect unless it had it before.
STEP = """'with run as (insert into runs values (current_setting(''df.idempotency_key'')))
    insert into effects select current_setting(''df.idempotency_key'') from pg_sleep({pause})
    on conflict do nothing'"""


@pytest.fixture
async def other(server: EmbeddedServer, database: str) -> AsyncIterator[Database]:
    """A session with another database; a run leaves a row there, an effect one with its key."""
    name = sql.Identifier("elsewhere")
    with psycopg.connect(server.dsn(), autocommit=True) as admin:
        admin.execute(sql.SQL("create database {}").format(name))
    session = await Database.connect(make_conninfo(database, dbname="elsewhere"))
    await session.rows("create table runs (key text)")
    await session.rows("create table effects (key text primary key)")
    yield session
    await session.close()
    with psycopg.connect(server.dsn(), autocommit=True) as admin:
        admin.execute(sql.SQL("drop database {} with (force)").format(name))


async def test_a_worker_killed_between_the_commit_and_its_record_runs_the_step_twice(
    db: Database, other: Database
) -> None:
    victim = await WorkerProcess(db.conninfo).start()
    step = STEP.format(pause=1)
    instance = await db.scalar(f"select df.start({step}, null, 'elsewhere')")

    async def running() -> int:
        return await other.active("insert into effects")

    async def committed() -> object:
        return await other.scalar("select count(*) from effects")

    await until(running)
    keeper = await Database.connect(db.conninfo)
    async with keeper.session.transaction():
        # Nothing of the instance can be recorded while this is open.
        await keeper.rows("select from df.instances for no key update")
        await until(committed)
        await victim.kill()
    await keeper.close()
    async with worker_here(db.conninfo):
        assert await db.wait(instance) == "completed"

    assert await other.scalar("select count(*) from runs") == 2
    assert await other.scalar("select count(*) from effects") == 1


async def test_a_worker_that_is_told_to_stop_records_the_steps_that_it_finishes(
    db: Database, other: Database
) -> None:
    worker = await WorkerProcess(db.conninfo).start()
    step = STEP.format(pause=1)
    instance = await db.scalar(f"select df.start({step} & ({step} ~> {step}), null, 'elsewhere')")

    async def running() -> bool:
        return await other.active("insert into effects") == 2

    await until(running)
    assert await worker.stop() == 0
    stopped = await other.scalar("select count(*) from runs")
    async with worker_here(db.conninfo):
        assert await db.wait(instance) == "completed"

    assert stopped == 2
    assert await other.scalar("select count(*) from runs") == 3


async def test_a_worker_killed_again_and_again_has_each_effect_once(
    db: Database, other: Database
) -> None:
    random.seed(4714)
    step = STEP.format(pause="random() * 0.05")
    workflow = f"{step} ~> ({step} & {step}) ~> {step}"
    for _ in range(KILLS):
        await db.rows(
            f"select df.start({workflow}, null, 'elsewhere') from generate_series(1, %s)",
            WORKFLOWS // KILLS,
        )
        victim = await WorkerProcess(db.conninfo).start()
        done = await other.scalar("select count(*) from effects")

        async def at_work(done: int = done) -> bool:
            return int(await other.scalar("select count(*) from effects")) > done

        await until(at_work)
        await asyncio.sleep(random.random() * 0.3)  # the random instant of the kill
        await victim.kill()

    async with worker_here(db.conninfo):
        await db.wait_all()

    assert await db.rows("select status, count(*) from df.instances group by 1") == [
        ("completed", WORKFLOWS)
    ]
    assert await other.scalar("select count(*) from effects") == WORKFLOWS * STEPS
    assert await other.scalar("select count(distinct key) from runs") == WORKFLOWS * STEPS
