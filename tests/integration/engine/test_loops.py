"""Loops and breaks: iterations, what they carry, how they end, and crashes between them."""

import json

import pytest

from pg_durable.engine.worker import Worker
from support.database import Database
from support.waiting import until
from support.workers import WorkerProcess, worker_here

COUNT = "insert into ticks select count(*) + 1 from ticks returning n"


@pytest.fixture
async def ticks(db: Database) -> Database:
    """A table to count iterations in."""
    await db.rows("create table ticks (n bigint)")
    return db


async def statuses(db: Database, instance: str) -> dict[str, tuple[str, str]]:
    """Stored and inferred status by node type and query."""
    rows = await db.rows(
        "select coalesce(query, node_type), status, inferred_status from df.instance_nodes(%s)",
        instance,
    )
    return {key: (status, inferred) for key, status, inferred in rows}


async def test_a_while_loop_runs_its_body_first_and_ends_with_its_result(
    ticks: Database, worker: Worker
) -> None:
    instance = await ticks.start(f"df.loop('{COUNT}', 'select count(*) < 3 from ticks')")

    assert await ticks.wait(instance) == "completed"
    assert await ticks.result(instance) == {"rows": [{"n": 3}], "row_count": 1}
    assert await ticks.scalar("select count(*) from ticks") == 3


async def test_a_break_ends_the_nearest_loop_with_its_value(
    ticks: Database, worker: Worker
) -> None:
    body = (
        f"('{COUNT}' |=> 't') ~> ('select $t = 4' ?> df.break('$t of {{sys_label}}') !> 'select 1')"
    )
    instance = await ticks.start(
        f"(df.loop({body}, 'select true') |=> 'end') ~> 'select $end as e'", "four"
    )

    assert await ticks.wait(instance) == "completed"
    assert (await ticks.result(instance))["rows"] == [{"e": '"4 of four"'}]


@pytest.mark.parametrize("at_root", [True, False])
async def test_names_are_carried_from_iteration_to_iteration_and_out_of_the_loop(
    ticks: Database, at_root: bool
) -> None:
    loop = (
        f"df.loop(('{COUNT}' |=> 't') ~> ('select $t = 1' ?> ('select 10 as v' |=> 'x') !> "
        "('select $x.v + 1 as v' |=> 'x')), 'select $t < 3')"
    )
    workflow = loop if at_root else f"'select 1' ~> {loop} ~> 'select $x.v as v'"
    async with worker_here(ticks.conninfo):
        instance = await ticks.start(workflow)

        assert await ticks.wait(instance) == "completed"
        assert (await ticks.result(instance))["rows"] == [{"v": 12}]


async def test_a_worker_that_dies_between_iterations_loses_and_repeats_nothing(
    ticks: Database,
) -> None:
    workflow = (
        f"df.loop(('{COUNT}' |=> 't') ~> df.sleep(interval '20 ms')"
        " ~> ('select $t.n as v' |=> 'last'), 'select $last < 40') ~> 'select $last as v'"
    )
    process = await WorkerProcess(ticks.conninfo).start()
    instance = await ticks.start(workflow)

    for reached in (5, 15, 25):

        async def there(reached: int = reached) -> bool:
            return bool(await ticks.scalar("select count(*) >= %s from ticks", reached))

        await until(there)
        await process.kill()
        process = await WorkerProcess(ticks.conninfo).start()

    assert await ticks.wait(instance) == "completed"
    assert await ticks.rows("select count(*), max(n) from ticks") == [(40, 40)]
    assert (await ticks.result(instance))["rows"] == [{"v": 40}]
    await process.stop()


async def test_a_nested_loop_begins_anew_in_each_iteration(ticks: Database, worker: Worker) -> None:
    await ticks.rows("create table outer_ticks (n bigint)")
    inner = f"df.loop('{COUNT}', 'select count(*) %% 3 <> 0 from ticks')"
    outer = (
        f"df.loop({inner} ~> 'insert into outer_ticks select max(n) from ticks',"
        " 'select count(*) < 4 from outer_ticks')"
    )

    instance = await ticks.start(outer)

    assert await ticks.wait(instance) == "completed"
    assert await ticks.rows("select n from outer_ticks order by n") == [(3,), (6,), (9,), (12,)]


async def test_a_failure_names_the_nested_loop_and_ends_the_instance(
    ticks: Database, worker: Worker
) -> None:
    instance = await ticks.start("'select 1' ~> df.loop('select 1/0', 'select true')")

    assert await ticks.wait(instance) == "failed"
    assert await ticks.output(instance) == (
        "Loop sub-orchestration failed: SQL execution failed: error returned from database: "
        "division by zero"
    )


async def test_a_break_outside_any_loop_fails_the_instance(ticks: Database, worker: Worker) -> None:
    instance = await ticks.start("'select 1' ~> df.break('v') ~> 'select 2'")

    assert await ticks.wait(instance) == "failed"
    assert await ticks.output(instance) == (
        "df.break() was called outside of a loop. df.break() may only be used inside df.loop()."
    )
    seen = await statuses(ticks, instance)
    assert seen["select 2"] == ("pending", "skipped")
    assert seen["THEN"] == ("completed", "completed")


async def test_a_break_in_a_branch_waits_for_a_join_and_wins_a_race(
    ticks: Database, worker: Worker
) -> None:
    joined = await ticks.start(f"df.loop((df.break('1') & '{COUNT}') ~> 'select 1/0')")
    raced = await ticks.start("df.loop((df.break('2') | df.sleep(3600)) ~> 'select 1/0')")

    assert await ticks.wait(joined) == "completed"
    assert await ticks.wait(raced) == "completed"
    assert (await ticks.result(joined), await ticks.result(raced)) == (1, 2)
    assert await ticks.scalar("select count(*) from ticks") == 1


async def test_a_loop_that_loses_a_race_is_failed_and_stops(
    ticks: Database,
) -> None:
    workflow = (
        f"df.loop('{COUNT}' ~> df.sleep(interval '10 ms'), 'select true')"
        " | (df.loop('select pg_sleep(0.05)', 'select count(*) < 5 from ticks') ~> 'select 7 as v')"
    )
    async with worker_here(ticks.conninfo):
        instance = await ticks.start(workflow)

        assert await ticks.wait(instance) == "completed"
        count = await ticks.scalar("select count(*) from ticks")
        status, result = await ticks.row(
            "select l.status, l.result #>> '{}' from df.nodes l"
            " join df.nodes r on r.instance_id = l.instance_id and r.left_node = l.id"
            " where l.instance_id = %s and r.node_type = 'RACE'",
            instance,
        )
        assert (status, result) == ("failed", "Loop branch cancelled after losing RACE")
        assert count == await ticks.scalar("select count(*) from ticks")


async def test_a_race_in_a_loop_is_run_anew_each_time(ticks: Database, worker: Worker) -> None:
    race = f"('{COUNT}' | ('select pg_sleep(10)' ~> 'insert into ticks values (-1)'))"
    instance = await ticks.start(f"df.loop({race}, 'select count(*) < 5 from ticks')")

    assert await ticks.wait(instance) == "completed"
    assert await ticks.rows("select n from ticks order by n") == [(n,) for n in range(1, 6)]


async def test_an_endless_loop_takes_its_time_and_can_be_cancelled(ticks: Database) -> None:
    async with worker_here(ticks.conninfo, loop_min_interval=0.05):
        instance = await ticks.start(f"@> '{COUNT}'")

        async def iterated() -> bool:
            return bool(await ticks.scalar("select count(*) >= 3 from ticks"))

        await until(iterated)
        executions = await ticks.rows(
            "select execution_id, status from df.instance_executions(%s, 2)", instance
        )
        await ticks.rows("select df.cancel(%s)", instance)
        count = await ticks.scalar("select count(*) from ticks")

        assert executions[0][0] >= 3
        assert [status for _, status in executions] == ["Running", "ContinuedAsNew"]
        assert await ticks.status(instance) == "cancelled"
        assert await ticks.scalar("select count(*) from ticks") == count


async def test_a_loop_without_any_step_does_not_hold_up_the_worker(db: Database) -> None:
    async with worker_here(db.conninfo, loop_min_interval=0.0):
        spinning = [
            await db.start("@> df.sleep(0)"),
            await db.start("@> df.loop(df.break())"),
            await db.start("df.loop(df.sleep(0), df.sleep(0))"),
        ]
        instance = await db.start("'select 1' ~> 'select 2'")

        assert await db.wait(instance) == "completed"
        for endless in spinning:
            await db.wait(endless, ["running"])
            await db.rows("select df.cancel(%s)", endless)


async def test_a_limit_of_iterations_can_be_set(ticks: Database) -> None:
    async with worker_here(ticks.conninfo, max_loop_iterations=5, loop_min_interval=0.0):
        instance = await ticks.start(f"@> '{COUNT}'")

        assert await ticks.wait(instance) == "failed"
        assert await ticks.output(instance) == (
            "Loop exceeded maximum iteration count of 5. "
            "Use df.break() to exit the loop or restructure the workflow."
        )
        assert await ticks.scalar("select count(*) from ticks") == 5


async def test_an_empty_result_keeps_its_columns_through_a_restart(ticks: Database) -> None:
    workflow = (
        "('select n as a, n as b from ticks where false' |=> 'x')"
        " ~> df.sleep(interval '300 ms') ~> 'select a, count(b) as c from $x.* group by a'"
    )
    async with worker_here(ticks.conninfo):
        instance = await ticks.start(workflow)
        await ticks.wait(instance, ["running"])
        assert await ticks.wait(instance) == "completed"

    assert json.dumps(await ticks.result(instance)) == '{"rows": [], "row_count": 0}'


async def test_a_slow_commit_at_the_end_of_an_iteration_is_not_overtaken(
    ticks: Database, worker: Worker
) -> None:
    await ticks.rows(
        "create function slow() returns trigger language plpgsql as"
        " $$ begin perform pg_sleep(0.3); return null; end $$"
    )
    await ticks.rows(
        "create constraint trigger late after insert on ticks deferrable initially deferred"
        " for each row execute function slow()"
    )
    instance = await ticks.start(f"df.loop('{COUNT}', 'select count(*) < 3 from ticks')")
    other = await ticks.start(f"df.loop('{COUNT}' ~> ('select 1' ?> df.break() !> 'select 1'))")

    assert await ticks.wait(instance) == "completed"
    assert await ticks.wait(other) == "completed"


async def test_a_wait_in_the_next_iteration_is_not_ended_by_one_of_the_last(
    ticks: Database, worker: Worker
) -> None:
    race = "df.race(df.wait_for_signal('a'), df.wait_for_signal('b') ~> df.break('done'))"
    instance = await ticks.start(f"df.loop({race})")
    async with ticks.session.transaction():
        await ticks.rows("select df.signal(%s, 'a'), df.signal(%s, 'b')", instance, instance)

    assert await ticks.wait(instance) == "completed"
    assert await ticks.result(instance) == "done"


async def test_a_wait_in_a_paced_loop_parks_for_good(ticks: Database) -> None:
    later = "df.sleep_until('2999-01-01 00:00+00')"
    body = f"'{COUNT}' ~> ('select count(*) > 1 from ticks' ?> {later} !> 'select 1')"
    async with worker_here(ticks.conninfo, loop_min_interval=0.4):
        instance = await ticks.start(f"df.loop({body})")

        async def parked() -> bool:
            return bool(
                await ticks.scalar(
                    "select due_at > now() + interval '1 year' from df.instances where id = %s",
                    instance,
                )
            )

        await until(parked)
        (before,) = await ticks.row("select xmin::text from df.instances where id = %s", instance)
        await ticks.wait(await ticks.start("'select pg_sleep(0.5)'"))
        (after,) = await ticks.row("select xmin::text from df.instances where id = %s", instance)
        assert before == after


async def test_what_a_loop_carries_is_limited(ticks: Database) -> None:
    async with worker_here(ticks.conninfo, max_result_bytes=1000, loop_min_interval=0.0):
        large = "'select repeat(''x'', 600) as v'"
        body = f"({large} |=> 'a') ~> ({large} |=> 'b')"
        instance = await ticks.start(f"@> ({body})")
        joined = await ticks.start("'select repeat(''x'', 600)' & 'select repeat(''y'', 600)'")

        assert await ticks.wait(instance) == "failed"
        assert await ticks.wait(joined) == "failed"
        assert "named results that the loop carries" in await ticks.output(instance)
        assert "results of the branches have" in await ticks.output(joined)
