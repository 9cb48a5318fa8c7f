"""From the caller's transaction to the worker."""

import asyncio
import time
from typing import Any

import pytest

from pg_durable.engine.worker import Worker
from pg_durable.records import Claims
from pg_durable.store import Store
from support.database import Database
from support.waiting import until
from support.workers import worker_here


async def test_a_rolled_back_start_leaves_nothing(db: Database, worker: Worker) -> None:
    await db.rows("begin")
    await db.start("'select 1'")
    await db.rows("rollback")

    assert await db.scalar("select count(*) from df.instances") == 0
    assert await db.scalar("select count(*) from df.nodes") == 0


async def test_a_start_held_uncommitted_for_ten_seconds_runs_after_its_commit(
    db: Database, worker: Worker
) -> None:
    other = await Database.connect(db.conninfo)
    await db.rows("begin")
    instance = await db.start("'select 1'")
    await db.rows("select pg_sleep(10)")
    assert await other.status(instance) is None
    await db.rows("commit")

    assert await other.wait(instance, within=3) == "completed"
    await other.close()


async def test_many_starts_in_one_transaction_all_run(db: Database, worker: Worker) -> None:
    await db.rows("select df.start('select ' || g) from generate_series(1, 1000) g")

    await db.wait_all()

    assert await db.scalar("select count(*) from df.instances where status = 'completed'") == 1000


async def test_an_instance_of_a_dropped_role_fails(db: Database, worker: Worker) -> None:
    await db.rows("create role leaver login")
    await db.rows("select df.grant_usage('leaver')")
    leaver = await db.connect_as("leaver")
    await leaver.rows("begin")
    instance = await leaver.start("'select 1'")
    await leaver.rows("commit")
    await leaver.close()
    sleeper = await db.connect_as("leaver")
    sleeping = await sleeper.start("df.sleep(2) ~> 'select 1'")
    await sleeper.close()
    await db.wait(instance)

    await db.rows("drop owned by leaver")
    await db.rows("drop role leaver")

    assert await db.wait(sleeping) == "failed"
    assert "no longer exists in pg_roles" in await db.output(sleeping)


async def until_idle(db: Database) -> None:
    """Wait for a worker to be shown as idle."""

    async def idle() -> object:
        return await db.scalar(
            "select count(*) from pg_locks where locktype = 'advisory' and mode = 'ShareLock'"
            " and classid = 1885824117 and objid = 0"
            " and database = (select oid from pg_database where datname = current_database())"
        )

    await until(idle)


async def test_an_idle_worker_hears_of_a_start_at_once(db: Database, worker: Worker) -> None:
    await until_idle(db)
    instance = await db.start("'select 1'")

    assert await db.wait(instance, within=5) == "completed"


async def test_an_idle_worker_hears_of_a_start_that_is_committed_late(db: Database) -> None:
    async with worker_here(db.conninfo, poll_interval=3600):
        await until_idle(db)
        await db.rows("begin")
        instance = await db.start("'select 1'")
        await db.rows("select pg_sleep(2)")
        await db.rows("commit")

        assert await db.wait(instance, within=1) == "completed"


async def test_an_idle_worker_runs_what_several_roles_start_at_the_same_moment(
    db: Database,
) -> None:
    await db.rows("create role neighbour login; select df.grant_usage('neighbour')")
    neighbour = await db.connect_as("neighbour")

    async with worker_here(db.conninfo, poll_interval=3600):
        await until_idle(db)
        for session in (db, neighbour):
            await session.rows("begin")
            await session.rows("select df.start('select 1') from generate_series(1, 50)")
        await asyncio.gather(db.rows("commit"), neighbour.rows("commit"))
        await db.wait_all(within=5)

    by_role = await db.rows("select count(*) from df.instances group by submitted_by")
    await neighbour.close()
    assert by_role == [(50,), (50,)]


async def test_an_idle_worker_looks_twice_for_a_start_and_then_waits_to_be_told(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []
    roles = []
    claim = Store.claim

    async def counted(self: Store, *arguments: Any, **named: Any) -> Claims:
        looks.append(time.monotonic())
        roles.append(named.get("role", ""))
        return await claim(self, *arguments, **named)

    monkeypatch.setattr(Store, "claim", counted)
    async with worker_here(db.conninfo, poll_interval=3600):

        async def at_rest() -> bool:
            return bool(looks) and time.monotonic() - looks[-1] > 0.5  # its looks are ever rarer

        await until(at_rest)
        looks.clear()
        roles.clear()

        assert await db.wait(await db.start("'select 1'"), within=1) == "completed"
        await asyncio.sleep(0.1)

        mine = await db.scalar("select current_user::regrole::oid::text")
        assert [role for role in roles if role] == [mine]  # whose start it is told of
        assert 1 <= len(looks) <= 3  # one of the rarer ones may fall into that time
