"""Sleeps and schedules: when they end, and that a restart does not begin them anew."""

from datetime import UTC, datetime, timedelta

from pg_durable.engine.worker import Worker
from support.database import Database
from support.workers import worker_here


async def test_a_sleep_of_less_than_a_second_is_that_long(db: Database, worker: Worker) -> None:
    instance = await db.start(
        "'select clock_timestamp() as t' |=> 'a' ~> df.sleep(interval '0.3 s')"
        " ~> 'select clock_timestamp() - ''$a''::timestamptz as t'".replace("''$a''", "$a")
    )

    assert await db.wait(instance) == "completed"
    waited = await db.scalar("select df.result(%s)::json #>> '{rows,0,t}'", instance)
    assert "00:00:00.3" <= waited < "00:00:02"


async def test_sleeping_until_an_instant_ends_there(db: Database, worker: Worker) -> None:
    end = datetime.now(UTC) + timedelta(seconds=0.5)
    instance = await db.start(f"df.sleep_until('{end.isoformat()}')")
    past = await db.start("df.sleep_until('2020-02-02 00:00:00+00')")

    assert await db.wait(instance) == "completed"
    assert await db.wait(past) == "completed"
    assert await db.result(past) == {"slept": True, "until": "2020-02-02T00:00:00+00:00"}
    (completed,) = await db.row("select completed_at from df.instances where id = %s", instance)
    assert timedelta() <= completed - end < timedelta(seconds=2)


async def test_a_schedule_waits_for_the_next_tick_strictly_after_now(
    db: Database, worker: Worker
) -> None:
    instance = await db.start("df.wait_for_schedule('* * * * *')")
    await db.wait(instance, ["running"])
    zoned = await db.start("df.wait_for_schedule('30 9 * * *', 'Asia/Kolkata')")

    await db.scalar("select 1")
    while not (due := await db.rows("select due_at from df.nodes where due_at is not null")):
        pass
    ticks = [row[0] for row in due]
    now = datetime.now(UTC)

    assert all(tick > now - timedelta(seconds=61) and tick.second == 0 for tick in ticks)
    await db.rows("select df.cancel(id) from df.instances")
    assert await db.status(instance) == await db.status(zoned) == "cancelled"


async def test_the_end_of_a_wait_survives_restarts(db: Database) -> None:
    async with worker_here(db.conninfo):
        instance = await db.start("df.wait_for_schedule('0 0 1 1 *')")
        await db.wait(instance, ["running"])
        first = await _parked_until(db, instance)
    async with worker_here(db.conninfo):
        await db.rows("update df.instances set due_at = now() where id = %s", instance)

        assert await _parked_until(db, instance) == first
    waits_for = await db.scalar("select waits_for from df.waiting_for(%s)", instance)
    assert waits_for == f"next tick {first:%Y-%m-%d %H:%M:%S}+00"


async def test_a_schedule_without_a_future_fails_when_it_runs(db: Database, worker: Worker) -> None:
    instance = await db.start("df.wait_for_schedule('0 0 1 1 * 1999')")

    assert await db.wait(instance) == "failed"
    assert await db.output(instance) == "No upcoming schedule found for '0 0 1 1 * 1999'"


async def test_names_on_waits_are_stored(db: Database, worker: Worker) -> None:
    instance = await db.start("df.sleep(0) |=> 's' ~> 'select $s.slept as v, $s.seconds as n'")

    assert await db.wait(instance) == "completed"
    assert (await db.result(instance))["rows"] == [{"v": True, "n": 0}]


async def _parked_until(db: Database, instance: str) -> datetime:
    while True:
        (due, worker) = await db.row(
            "select due_at, worker from df.instances where id = %s", instance
        )
        if worker is None and due is not None and due > datetime.now(UTC):
            assert isinstance(due, datetime)
            return due
