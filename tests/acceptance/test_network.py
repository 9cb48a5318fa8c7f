"""The network between a worker and its server fails, and work goes on."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pg_durable.torture.netns import Cable
from pg_durable.torture.proxy import Proxy
from support.database import Database
from support.waiting import until
from support.workers import WorkerProcess, worker_here

PATIENCE = 90.0  # seconds, on a busy machine; a server that vanished is noticed in 10 to 15
SLOW_STEP = "insert into t select 1 from pg_sleep(2)"
BRISK = {"lease": 2, "heartbeat_interval": 0.2}


@pytest.fixture
def proxy(database: str) -> Iterator[Proxy]:
    """A proxy before the server of this test's database."""
    with Proxy.before(database) as proxy:
        yield proxy


@pytest.fixture
def cable() -> Iterator[Cable]:
    """A network that can be pulled apart."""
    if not Cable.possible():
        pytest.skip("network namespaces cannot be made here")
    with Cable() as cable:
        yield cable


async def _running(db: Database) -> None:
    async def running() -> bool:
        return bool(await db.active("pg_sleep(2)"))

    await until(running)


async def _workers(db: Database) -> set[int]:
    return {number for (number,) in await db.rows("select worker from df._worker_epoch")}


async def test_a_worker_whose_connections_fall_silent_opens_new_ones(
    db: Database, proxy: Proxy
) -> None:
    await db.rows("create table t (n int)")
    async with worker_here(proxy.dsn(db.conninfo), **BRISK):
        instance = await db.start_sql(SLOW_STEP)
        await _running(db)

        proxy.swallow(new_ones=False)

        assert await db.wait(instance, within=PATIENCE) == "completed"
    assert await db.rows("select n from t") == [(1,)]


async def test_what_a_worker_beyond_a_black_hole_held_is_taken_over_by_another(
    db: Database, proxy: Proxy
) -> None:
    await db.rows("create table t (n int)")
    async with worker_here(proxy.dsn(db.conninfo), **BRISK):
        instance = await db.start_sql(SLOW_STEP)
        await _running(db)
        proxy.swallow()

        async with worker_here(db.conninfo, **BRISK):
            status = await db.wait(instance, within=PATIENCE)

        assert status == "completed"
        proxy.heal()
    assert await db.rows("select n from t") == [(1,)]


async def test_lost_notifications_cost_a_moment_and_nothing_else(
    db: Database, proxy: Proxy
) -> None:
    async with worker_here(proxy.dsn(db.conninfo)):
        assert await db.wait(await db.start_sql("select 1")) == "completed"
        proxy.lose_notifications()

        woken = await db.start_sql("select 1")
        waiting = await db.start("df.wait_for_signal('go') ~> 'select 2'")
        await db.rows("select df.signal(%s, 'go')", waiting)

        assert await db.wait(woken) == "completed"
        assert await db.wait(waiting) == "completed"


async def test_connections_cut_again_and_again_lose_and_double_nothing(
    db: Database, proxy: Proxy
) -> None:
    await db.rows("create table t (n int)")
    async with worker_here(proxy.dsn(db.conninfo), **BRISK):
        await db.rows(
            "select df.start(format('insert into t values (%s)', n) ~> 'select pg_sleep(0.01)'"
            " ~> format('insert into t values (%s)', -n)) from generate_series(1, 200) n"
        )
        for round_ in range(10):

            async def some_more(least: int = 30 * round_) -> bool:
                return int(await db.scalar("select count(*) from t")) > least

            await until(some_more, within=PATIENCE)
            proxy.cut(share=0.5)
        await db.wait_all(within=PATIENCE)

    assert await db.rows("select status, count(*) from df.instances group by 1") == [
        ("completed", 200)
    ]
    assert await db.row("select count(*), count(distinct n) from t") == (400, 400)


async def test_a_worker_notices_that_its_server_has_vanished_and_finds_it_elsewhere(
    db: Database, cable: Cable
) -> None:
    await db.rows("create table t (n int)")
    here = str(conninfo_to_dict(db.conninfo)["host"])
    with Proxy(Path(here) / ".s.PGSQL.5432", listener=cable.listen()) as proxy:
        dsn = make_conninfo(
            db.conninfo,
            host=f"{proxy.host},{here}",
            port=f"{proxy.port},5432",
            sslmode="disable",
            gssencmode="disable",
        )
        worker = await WorkerProcess(dsn, through=cable.command([])).start()
        instance = await db.start_sql(SLOW_STEP)
        await _running(db)
        assert proxy.connections > 0

        cable.pull()

        assert await db.wait(instance, within=PATIENCE) == "completed"
        await worker.stop()
    assert await db.rows("select n from t") == [(1,)]
