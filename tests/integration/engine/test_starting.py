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


async def test_an_idle_worker_hears_of_a_start_at_once(db: Database, worker: Worker) -> None:
    async def idle() -> object:
        return await db.scalar(
            "select count(*) from pg_locks where locktype = 'advisory' and mode = 'ShareLock'"
            " and classid = 1885824117 and objid = 0"
            " and database = (select oid from pg_database where datname = current_database())"
        )

    await until(idle)
    instance = await db.start("'select 1'")

    assert await db.wait(instance, within=5) == "completed"


async def test_an_idle_worker_looks_twice_for_a_start_and_then_waits_to_be_told(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []
    claim = Store.claim

    async def counted(self: Store, *arguments: Any) -> Claims:
        looks.append(time.monotonic())
        return await claim(self, *arguments)

    monkeypatch.setattr(Store, "claim", counted)
    async with worker_here(db.conninfo, poll_interval=3600):

        async def at_rest() -> bool:
            return bool(looks) and time.monotonic() - looks[-1] > 0.5  # its looks are ever rarer

        await until(at_rest)
        looks.clear()

        assert await db.wait(await db.start("'select 1'"), within=1) == "completed"
        await asyncio.sleep(0.1)

        assert 1 <= len(looks) <= 3  # one of the rarer ones may fall into that time
