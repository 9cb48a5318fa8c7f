"""Iterations of loops: which of them are executions, how many are kept, how fast they follow."""

from pg_durable.engine.worker import Worker
from support.database import Database
from support.waiting import until
from support.workers import worker_here


async def test_only_iterations_of_a_loop_at_the_root_are_executions(
    db: Database, worker: Worker
) -> None:
    await db.rows("create table ticks (name text); create table before (i int)")
    loop = (
        "df.loop($$insert into ticks values ('{name}') returning 'x' as v$$,"
        " $$select count(*) < 3 from ticks where name = '{name}'$$)"
    )
    a, b, c, d = [loop.format(name=name) for name in "abcd"]

    instances = [
        await db.start(a),
        await db.start(f"'insert into before values (1)' ~> {b}"),
        await db.start(f"{c} & {d}"),
    ]
    await db.wait_all()

    listed = await db.rows(
        "select instance_id, execution_count from df.list_instances('completed')"
    )
    assert sorted(listed) == sorted(zip(instances, [3, 1, 1], strict=True))
    assert await db.rows("select name, count(*) from ticks group by 1 order by 1") == [
        (name, 3) for name in "abcd"
    ]
    assert await db.scalar("select count(*) from before") == 1


async def test_of_a_loop_at_the_root_the_last_hundred_finished_executions_are_kept(
    db: Database, worker: Worker
) -> None:
    await db.rows("create table ticks (n bigint)")
    tick = "insert into ticks select count(*) + 1 from ticks"
    instance = await db.start(
        f"df.loop('{tick}' ~> ('select count(*) < 130 from ticks' ?> 'select 1'"
        " !> df.wait_for_signal('go')), 'select count(*) < 131 from ticks')"
    )

    async def there() -> bool:
        waiting = await db.rows("select waits_for from df.waiting_for(%s)", instance)
        return waiting == [("signal go",)]

    await until(there)
    kept = await db.rows(
        "select execution_id, status from df.instance_executions(%s, 1000)", instance
    )

    assert kept == [(130, "Running"), *((n, "ContinuedAsNew") for n in range(129, 29, -1))]


async def test_an_endless_loop_rests_between_iterations_and_not_after_its_last(
    db: Database,
) -> None:
    await db.rows("create table ticks (n bigint); create table rounds (n bigint)")
    rounds = "'insert into rounds values (1)', 'select count(*) < 3 from rounds'"
    async with worker_here(db.conninfo, loop_min_interval=600):
        breaking = await db.start("@> ('select 1' ~> df.break('at once'))")
        conditional = await db.start(f"df.loop({rounds})")
        endless = await db.start("@> 'insert into ticks values (1)'")

        async def rests() -> bool:
            waits: str = await db.scalar("select waits_for from df.waiting_for(%s)", endless)
            return waits.startswith("next iteration ")

        await until(rests)
        assert await db.wait(breaking) == await db.wait(conditional) == "completed"

    assert await db.scalar("select count(*) from ticks") == 1
    assert await db.scalar(
        "select due_at > now() + interval '5 min' from df.instances where id = %s", endless
    )
