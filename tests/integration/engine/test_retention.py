"""Ended instances are removed after a time, with all that belongs to them, and nothing else is."""

import pytest

from support.database import Database
from support.waiting import until
from support.workers import worker_here

KEPT = (
    "select i.label from df.instances i"
    " where exists (select from df.nodes n where n.instance_id = i.id) order by 1"
)
LEFT_BEHIND = """
    select instance_id from df.nodes where instance_id not in (select id from df.instances)
    union all
    select instance_id from df._executions where instance_id not in (select id from df.instances)
    union all
    select instance_id from df._signals where instance_id not in (select id from df.instances)
"""


async def ended(
    db: Database, label: str, days: float | None, *, status: str = "completed", begun: float = 50
) -> str:
    """An instance that ended so many days ago (None: nobody knows), having been started before."""
    instance = await db.start("df.loop('select 1', 'select false')", label)
    await db.rows(
        "update df.instances set status = %s, due_at = null,"
        " created_at = now() - make_interval(secs => 86400 * %s),"
        " completed_at = now() - make_interval(secs => 86400 * %s) where id = %s",
        status,
        begun,
        days,
        instance,
    )
    await db.rows("insert into df._executions values (%s, 0, 1, now(), 1)", instance)
    await db.rows(
        "insert into df._signals (instance_id, name, data) values (%s, 's', '1')", instance
    )
    return instance


async def removed(db: Database, status: str, days: int, limit: int = 1000) -> int:
    """How many one batch removes."""
    return int(
        await db.scalar(
            "select removed from df._remove_ended(%s, %s, null, null, %s)", status, days, limit
        )
    )


async def labels(db: Database) -> list[str]:
    """The instances that are there, with nodes."""
    return [label for (label,) in await db.rows(KEPT)]


async def test_a_worker_removes_what_ended_long_ago_with_all_that_belongs_to_it(
    db: Database, database: str
) -> None:
    for status in ("completed", "failed", "cancelled"):
        await ended(db, f"{status}, old", 31, status=status)
        await ended(db, f"{status}, young", 29, status=status)
    await ended(db, "without an end", None)
    await db.start("df.sleep(3600)", "waits")
    await db.rows("update df.instances set created_at = now() - interval '1 year'"
                  " where label = 'waits'")  # fmt: skip

    async with worker_here(database, reconcile_interval=0.05):

        async def gone() -> bool:
            return bool(await db.scalar("select count(*) from df.instances") == 4)

        await until(gone)

    young = ["cancelled, young", "completed, young", "failed, young", "waits"]
    assert await labels(db) == young
    assert await db.rows(LEFT_BEHIND) == []


async def test_with_zero_days_everything_that_has_ended_is_removed(
    db: Database, database: str
) -> None:
    settings = {"reconcile_interval": 0.05, "retention_days": 0, "max_management_connections": 1}

    async with worker_here(database, **settings):
        waits = await db.start("df.sleep(3600)", "waits")
        for _ in range(3):
            await db.start("'select 1'", "ends")

        async def only_one() -> bool:
            return bool(await db.scalar("select count(*) from df.instances") == 1)

        await until(only_one)

    assert await labels(db) == ["waits"]
    assert await db.rows("select id from df.instances") == [(waits,)]


async def test_unfinished_instances_are_never_removed(db: Database) -> None:
    await ended(db, "pending", None, status="pending", begun=5000)
    await ended(db, "running", 4000, status="running", begun=5000)

    numbers = [await removed(db, status, 0) for status in ("completed", "failed", "cancelled")]
    refused = await _refusal(db, "running")

    assert numbers == [0, 0, 0]
    assert refused == "instances that are running have not ended, so they are never removed"
    assert await labels(db) == ["pending", "running"]


async def _refusal(db: Database, status: str) -> str:
    with pytest.raises(Exception, match="never removed") as caught:
        await removed(db, status, 0)
    return str(caught.value).splitlines()[0]


async def test_batches_go_on_after_what_they_could_not_remove_among_equals(db: Database) -> None:
    instances = [await ended(db, f"{number:02}", 40) for number in range(10)]
    await db.rows("update df.instances set created_at = '2020-01-01'")
    holder = await Database.connect(db.conninfo)
    await holder.rows("begin")
    await holder.rows("select from df.instances where id = any(%s) for update", instances[:3])

    place: tuple[object, object] = (None, None)
    total = batches = 0
    while place[0] is not None or not batches:
        number, *place = await db.row(  # type: ignore[assignment]
            "select * from df._remove_ended('completed', 30, %s, %s, 2)", *place
        )
        total, batches = total + number, batches + 1
    await holder.rows("rollback")
    await holder.close()

    assert (total, batches) == (7, 6)
    assert await labels(db) == ["00", "01", "02"]


async def test_a_node_that_somebody_holds_keeps_no_other_instance(db: Database) -> None:
    held = await ended(db, "held", 40)
    for number in range(3):
        await ended(db, f"free {number}", 40)
    holder = await Database.connect(db.conninfo)
    await holder.rows("begin")
    await holder.rows("select from df.nodes where instance_id = %s for update", held)

    number = await removed(db, "completed", 30)
    await holder.rows("rollback")
    await holder.close()

    assert (number, await labels(db)) == (3, ["held"])


async def test_signals_that_nothing_can_take_are_swept_in_batches(db: Database) -> None:
    await ended(db, "ended", 1)
    await ended(db, "goes on", None, status="running")
    await db.rows("insert into df._signals (instance_id, name, data) select id, 't', '1'"
                  " from df.instances, generate_series(1, 4)")  # fmt: skip

    swept = [await db.scalar("select df._sweep(3)") for _ in range(3)]

    assert swept == [3, 2, 0]
    assert await db.scalar("select count(*) from df._signals") == 5
