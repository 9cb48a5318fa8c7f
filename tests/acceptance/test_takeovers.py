"""Take-over of real workers: how soon, and past what locks. The times that are promised are
asserted by `make test-long`; here they are generous, for a machine that is busy."""

from support.database import Database
from support.takeovers import end_in_turn, percentile
from support.waiting import until
from support.workers import WorkerProcess, worker_here

LEASE = 1.0


async def test_instances_of_killed_workers_go_on_soon(db: Database) -> None:
    still = await end_in_turn(db, instances=6, rounds=2)

    assert len(still) >= 6
    assert percentile(still, 0.99) < 15


async def test_instances_of_frozen_workers_go_on_after_their_lease(db: Database) -> None:
    still = await end_in_turn(
        db, instances=6, rounds=2, frozen=True, lease=LEASE, heartbeat_interval=0.2
    )

    assert len(still) >= 6
    assert percentile(still, 0.99) < 20


async def test_a_killed_workers_statement_ends_and_lets_go_of_its_locks(db: Database) -> None:
    await db.rows("create table t (n int); insert into t values (0); create sequence runs")
    victim = await WorkerProcess(db.conninfo).start()
    instance = await db.start_sql(
        "update t set n = n + 1"
        " from (select pg_sleep(case nextval('runs') when 1 then 3600 else 0 end)) s"
    )
    await until(lambda: db.active("update t set"))

    await victim.kill()
    async with worker_here(db.conninfo):
        assert await db.wait(instance) == "completed"

    assert await db.scalar("select n from t") == 1


async def test_a_frozen_workers_open_transaction_does_not_hold_up_who_takes_over(
    db: Database,
) -> None:
    await db.rows("create table t (n int); insert into t values (0)")
    zombie = await WorkerProcess(db.conninfo, lease=LEASE, heartbeat_interval=0.2).start()
    instance = await db.start_sql("update t set n = n + 1 from pg_sleep(1)")
    await until(lambda: db.active("update t set"))

    zombie.freeze()  # its statement ends, with the row locked, and nobody commits it
    async with worker_here(db.conninfo, lease=LEASE, heartbeat_interval=0.2):
        assert await db.wait(instance) == "completed"

    assert await db.scalar("select n from t") == 1
    zombie.thaw()
    assert await zombie.stop() == 0
