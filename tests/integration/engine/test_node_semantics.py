"""What each kind of node does, statement by statement: results, failures, breaks, losers."""

import pytest

from pg_durable.engine.worker import Worker
from support.database import Database
from support.waiting import until

DIVISION = "SQL execution failed: error returned from database: division by zero"
OUTSIDE = "df.break() was called outside of a loop. df.break() may only be used inside df.loop()."
JOIN_2 = "JOIN branch 2 failed: "
LOOP = "Loop sub-orchestration failed: "
WAITS = (
    "select count(*) from df.nodes where status = 'running' and stopped_through < generation"
    " and node_type in ('SLEEP', 'SIGNAL')"
)


async def nodes(db: Database, instance: str) -> dict[str, tuple[str, str | None, str]]:
    """Stored status, result and inferred status, by name, statement or type."""
    rows = await db.rows(
        "select coalesce(n.result_name, case when n.query !~ '^{' then n.query end, n.node_type),"
        " n.status, n.result, n.inferred_status from df.instance_nodes(%s) n",
        instance,
    )
    return {name: (status, result, inferred) for name, status, result, inferred in rows}


@pytest.mark.parametrize(
    ("workflow", "output"),
    [
        ("'select 1 as v' ~> 'select 2 as v'", '{"rows":[{"v":2}],"row_count":1}'),
        ("'select true' ?> df.sleep(0) !> 'select 1'", '{"slept":true,"seconds":0}'),
        ("df.sleep(0) & df.sleep(0)", '[{"slept":true,"seconds":0},{"slept":true,"seconds":0}]'),
        (
            "df.loop(df.break('1') & df.break('2')) & df.loop(df.break('3'))"
            " & df.loop(df.break('4'))",
            "[[1,3],4]",
        ),
        ("df.loop(df.break('l') | df.break('r'))", '"l"'),
        ("df.loop(df.loop(df.break('inner')) ~> df.break('outer'))", '"outer"'),
        ("df.loop(df.break('of a condition') ?> 'select 1' !> 'select 2')", '"of a condition"'),
        ("df.loop('select false' ?> 'select 1' !> df.break('of a branch'))", '"of a branch"'),
        ("df.loop('select 1', df.break('of a while'))", '"of a while"'),
        ("df.loop(df.sleep(0), 'select false')", '{"slept":true,"seconds":0}'),
        ("df.wait_for_signal('s', 1)", '{"signal_name":"s","timed_out":true,"data":null}'),
        # A condition may be any graph.
        (
            "df.loop('select 1', 'select false') ?> 'select 2 as v' !> 'select 3 as v'",
            '{"rows":[{"v":2}],"row_count":1}',
        ),
        ("df.loop(df.sleep(0), df.loop(df.break('no')))", '{"slept":true,"seconds":0}'),
        ("df.loop(df.sleep(0), df.sleep(0) & df.break('7'))", "7"),
        ("df.loop(df.break())", "null"),
        ("df.loop(df.break('null'))", "null"),
        ("df.loop(df.break('5'))", "5"),
        ("""df.loop(df.break('{"n": 1.50, "a": []}'))""", '{"n":1.50,"a":[]}'),
        ("df.loop(df.break(' true '))", "true"),
        ("df.loop(df.break(''))", '""'),
        ("df.loop(df.break('two words'))", '"two words"'),
        # JOIN: its branches are looked at in order, when all have come to their end.
        ("df.loop(df.break('first') & 'select 1/0')", '"first"'),
        ("df.loop((df.sleep(0) ~> df.break('first')) & df.break('second'))", '"first"'),
    ],
)
async def test_a_node_comes_to_its_result(
    db: Database, worker: Worker, workflow: str, output: str
) -> None:
    instance = await db.start(workflow)

    assert await db.wait(instance) == "completed", await db.output(instance)
    assert await db.scalar("select output from df.instance_info(%s)", instance) == output


@pytest.mark.parametrize(
    ("workflow", "output"),
    [
        ("('select 1/0' ~> 'select 1') ~> 'select 2'", DIVISION),
        ("'select 1/0' ?> 'select 1' !> 'select 2'", DIVISION),
        ("'select true' ?> 'select 1/0' !> 'select 2'", DIVISION),
        ("df.if_rows('x', 'select 1', 'select 2')", "df.if_rows: result 'x' not found"),
        (
            "(df.loop(df.break('{\"row_count\": \"many\"}')) |=> 'x')"
            " ~> df.if_rows('x', 'select 1', 'select 2')",
            "df.if_rows: result 'x' is not a SQL result (missing row_count)",
        ),
        (
            "(df.sleep(0) |=> 'x') ~> df.if_rows('x', 'select 1', 'select 2')",
            "df.if_rows: result 'x' is not a SQL result (missing row_count)",
        ),
        ("'select 1' & (df.sleep(0) & 'select 1/0')", f"{JOIN_2}{JOIN_2}{DIVISION}"),
        ("df.join3('select 1', 'select 2', 'select 1/0')", f"JOIN branch 3 failed: {DIVISION}"),
        ("(df.sleep(1) ~> 'select 1/0') & 'selec'", f"JOIN branch 1 failed: {DIVISION}"),
        ("df.loop('select 1/0' & df.break('later'))", f"JOIN branch 1 failed: {DIVISION}"),
        ("'select 1/0' | df.sleep(60)", f"RACE left branch failed: {DIVISION}"),
        ("df.sleep(60) | ('select 1' ~> 'select 1/0')", f"RACE right branch failed: {DIVISION}"),
        ("df.break()", OUTSIDE),
        ("df.break('1') & 'select 1'", OUTSIDE),
        ("df.break('1') | df.sleep(60)", OUTSIDE),
        ("df.break('true') ?> 'select 1' !> 'select 2'", OUTSIDE),
        ("df.loop('select 1', 'select false') ~> df.break()", OUTSIDE),
        ("@> 'select 1/0'", DIVISION),
        ("df.loop('select 1', 'select 1/0')", DIVISION),
        ("'select 1' ~> df.loop('select 1', 'select 1/0')", f"{LOOP}{DIVISION}"),
        ("df.loop(df.loop('select 1/0') ~> df.break())", f"{LOOP}{DIVISION}"),
        ("df.loop('select 1/0') & 'select 1'", f"JOIN branch 1 failed: {DIVISION}"),
        ("df.sleep(60) | df.loop('select 1/0')", f"RACE right branch failed: {DIVISION}"),
    ],
)  # fmt: skip
async def test_a_failure_reaches_the_instance_with_the_words_of_what_it_passed(
    db: Database, worker: Worker, workflow: str, output: str
) -> None:
    instance = await db.start(workflow)

    assert await db.wait(instance) == "failed"
    assert await db.output(instance) == output


async def test_each_node_that_a_failure_passes_is_failed_and_tells_it(
    db: Database, worker: Worker
) -> None:
    instance = await db.start(
        "(('select 1/0' |=> 'leaf') ?> 'then' !> 'else') |=> 'if' ~> 'after' |=> 'sequence'"
    )

    await db.wait(instance)

    assert await nodes(db, instance) == {
        "leaf": ("failed", f'"{DIVISION}"', "failed"),
        "if": ("failed", f'"{DIVISION}"', "failed"),
        "sequence": ("failed", f'"{DIVISION}"', "failed"),
        "then": ("pending", None, "skipped"),
        "else": ("pending", None, "skipped"),
        "after": ("pending", None, "skipped"),
    }


async def test_each_node_that_a_break_passes_is_completed_with_its_value(
    db: Database, worker: Worker
) -> None:
    race = "(df.as(df.break('7'), 'break') | 'select pg_sleep(60)') |=> 'race'"
    condition = f"('select true' ?> (({race}) & 'select 1' |=> 'join') !> 'else') |=> 'if'"
    instance = await db.start(f"df.loop(({condition}) ~> 'after' |=> 'sequence') |=> 'loop'")

    assert await db.wait(instance) == "completed", await db.output(instance)

    seen = await nodes(db, instance)
    for name in ("break", "race", "join", "if", "sequence", "loop"):
        assert seen[name] == ("completed", "7", "completed"), name
    assert seen["select 1"][0] == "completed"
    assert seen["after"] == seen["else"] == ("pending", None, "skipped")


async def test_a_step_that_fails_is_not_tried_again(db: Database, worker: Worker) -> None:
    await db.rows("create sequence tries")

    instance = await db.start("$$select nextval('tries') / 0$$")

    assert await db.wait(instance) == "failed"
    assert await db.scalar("select last_value from tries") == 1


async def test_the_branches_of_a_join_run_at_the_same_time(db: Database, worker: Worker) -> None:
    sleeps = "'select pg_sleep(60)'"
    instance = await db.start(f"{sleeps} & ('select 1' ~> {sleeps}) & {sleeps}")

    async def all_run() -> bool:
        return await db.active("pg_sleep(60)") == 3

    await until(all_run)
    await db.rows("select df.cancel(%s)", instance)


@pytest.mark.parametrize("end", ["cancelled", "lost"])
async def test_the_statement_of_what_is_cancelled_or_loses_its_race_is_stopped(
    db: Database, worker: Worker, end: str
) -> None:
    instance = await db.start("('select pg_sleep(600)' ~> 'select 1') | df.wait_for_signal('go')")

    async def runs() -> bool:
        return bool(await db.active("pg_sleep(600)") == 1 == await db.scalar(WAITS))

    async def gone() -> bool:
        return await db.active("pg_sleep(600)") == 0

    await until(runs)
    end_it = "select df.cancel(%s)" if end == "cancelled" else "select df.signal(%s, 'go')"
    await db.rows(end_it, instance)

    await until(gone, within=10)
    assert await db.wait(instance) == ("cancelled" if end == "cancelled" else "completed")
    assert (await nodes(db, instance))["select 1"] == ("pending", None, "skipped")


async def test_a_loser_is_abandoned_with_all_that_is_below_it(db: Database, worker: Worker) -> None:
    parts = "df.sleep(600), df.loop(df.sleep(60)) |=> 'loop', df.wait_for_signal('go') ~> 'after'"
    instance = await db.start(
        f"((df.join({parts}) |=> 'join') | df.wait_for_signal('end')) ~> df.wait_for_signal('go')"
    )

    async def waiting(count: int) -> bool:
        return bool(await db.scalar(WAITS) == count)

    await until(lambda: waiting(4))
    await db.rows("select df.signal(%s, 'end')", instance)
    await until(lambda: waiting(1))
    await db.rows("select df.signal(%s, 'go', '1')", instance)

    assert await db.wait(instance) == "completed"
    assert (await db.result(instance))["data"] == 1
    seen = await nodes(db, instance)
    for name in ("join", "loop", "60", "600"):
        assert seen[name] == ("running", None, "skipped"), name
    assert seen["after"] == ("pending", None, "skipped")


async def test_a_sleep_holds_no_session(db: Database, worker: Worker) -> None:
    instance = await db.start("df.sleep(600)")

    await db.wait(instance, ["running"])

    sessions = await db.rows(
        "select * from pg_stat_activity where datname = current_database()"
        " and application_name = 'pg_durable:worker:workflow-sql'"
    )
    assert sessions == []


async def test_the_tick_of_a_schedule_ends_its_wait(db: Database, worker: Worker) -> None:
    instance = await db.start("df.wait_for_schedule('0 0 1 1 *') |=> 's' ~> 'select $s as s'")

    async def parked() -> bool:
        return bool(
            await db.scalar(
                "select worker is null and due_at > now() + interval '1 s' from df.instances"
            )
        )

    await until(parked)
    await db.rows("update df.nodes set due_at = now() where due_at is not null")
    await db.rows("update df.instances set due_at = now()")

    assert await db.wait(instance) == "completed"
    assert (await db.result(instance))["rows"] == [{"s": '{"scheduled":true}'}]


async def test_a_signal_finds_its_wait_by_its_exact_name_wherever_it_is(
    db: Database, worker: Worker
) -> None:
    loop = "df.loop(df.wait_for_signal('Go') |=> 's', $$select $s.data <> 'stop'$$)"
    instance = await db.start(
        f"((({loop}) |=> 's') ~> $$select $s.data as data$$) & df.wait_for_signal('{{v}} $x')"
    )

    for name, data in (("go", "1"), ("Go", "more"), ("Go", "stop"), ("{v} $x", "")):
        await db.rows("select df.signal(%s, %s, %s)", instance, name, data)

    assert await db.wait(instance) == "completed"
    looped, other = await db.result(instance)
    assert looped["rows"] == [{"data": "stop"}]
    assert other == {"signal_name": "{v} $x", "timed_out": False, "data": ""}
