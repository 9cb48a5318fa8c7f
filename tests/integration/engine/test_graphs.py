"""Composite nodes, names and waits, from df.start to df.result."""

import pytest

from pg_durable.engine.worker import Worker
from support.database import Database
from support.waiting import until


@pytest.mark.parametrize(
    ("workflow", "result"),
    [
        (
            "'select 100 as amount' |=> 'total' ~> 'select $total * 2 as doubled'",
            {"rows": [{"doubled": 200}], "row_count": 1},
        ),
        (
            "'select 1 as a' & 'select 2 as b'",
            [{"rows": [{"a": 1}], "row_count": 1}, {"rows": [{"b": 2}], "row_count": 1}],
        ),
        (
            "df.join3('select 1 as a', 'select 2 as a', 'select 3 as a') |=> 'all'"
            " ~> 'select $all as j'",
            {
                "rows": [
                    {
                        "j": '[{"rows":[{"a":1}],"row_count":1},{"rows":[{"a":2}],"row_count":1},'
                        '{"rows":[{"a":3}],"row_count":1}]'
                    }
                ],
                "row_count": 1,
            },
        ),
        ("'select 0' ?> 'select 1 as x' !> 'select 2 as x'", {"rows": [{"x": 2}], "row_count": 1}),
        ("'select 5' ?> 'select 1 as x' !> 'select 2 as x'", {"rows": [{"x": 1}], "row_count": 1}),
        (
            "'select 1 where false' |=> 'r' ~> df.if_rows('r', 'select 1 as x', 'select 2 as x')",
            {"rows": [{"x": 2}], "row_count": 1},
        ),
        ("df.sleep(0)", {"slept": True, "seconds": 0}),
        ("'select 1' ~> df.sleep(1)", {"slept": True, "seconds": 1}),
        (
            "(df.sleep(1) ~> 'select 1 as a') & 'select 2 as b'",
            [{"rows": [{"a": 1}], "row_count": 1}, {"rows": [{"b": 2}], "row_count": 1}],
        ),
        (
            "('select 1 as v' |=> 'x') & ('select 2 as v' |=> 'y') ~> 'select $x + $y as sum'",
            {"rows": [{"sum": 3}], "row_count": 1},
        ),
        (
            "'select g, -g as h from generate_series(1, 3) g' |=> 'r'"
            " ~> 'select sum(g) as s, 3-$r.h as t from $r.*'",
            {"rows": [{"s": 6, "t": 4}], "row_count": 1},
        ),
    ],
)
async def test_a_workflow_gives_its_result(
    db: Database, worker: Worker, workflow: str, result: object
) -> None:
    instance = await db.start(workflow)

    assert await db.wait(instance) == "completed", await db.output(instance)
    assert await db.result(instance) == result


async def test_a_failing_branch_fails_the_join_after_the_others_have_run(
    db: Database, worker: Worker
) -> None:
    await db.rows("create table t (i int)")

    instance = await db.start(
        "'select 1/0' & ('select pg_sleep(0.3)' ~> 'insert into t values (1)')"
    )

    assert await db.wait(instance) == "failed"
    assert await db.output(instance) == (
        "JOIN branch 1 failed: SQL execution failed: error returned from database: division by zero"
    )
    assert await db.scalar("select count(*) from t") == 1


async def test_what_follows_a_failed_step_is_not_entered(db: Database, worker: Worker) -> None:
    await db.rows("create table t (i int)")

    instance = await db.start("'select 1/0' ~> 'insert into t values (1)'")

    assert await db.wait(instance) == "failed"
    statuses = await db.rows(
        "select node_type, status, query from df.nodes where instance_id = %s order by 1 desc, 3",
        instance,
    )
    assert statuses == [
        ("THEN", "failed", None),
        ("SQL", "pending", "insert into t values (1)"),
        ("SQL", "failed", "select 1/0"),
    ]


async def test_variables_are_those_of_the_start(db: Database, worker: Worker) -> None:
    await db.rows("select df.setvar('city', 'Oslo')")
    instance = await db.start("'select ''{city}'' as c, ''{sys_label}'' as l'", "trip")
    await db.rows("select df.setvar('city', 'Rome')")

    await db.wait(instance)

    assert (await db.result(instance))["rows"] == [{"c": "Oslo", "l": "trip"}]


async def test_a_long_sleep_is_parked_and_shown_as_running(db: Database, worker: Worker) -> None:
    instance = await db.start("'select 1' ~> df.sleep(3600)")

    async def parked() -> object:
        return await db.scalar(
            "select status = 'running' and worker is null"
            " and due_at > now() + interval '59 minutes' from df.instances where id = %s",
            instance,
        )

    await until(parked)
    statuses = await db.rows(
        "select node_type, status from df.nodes where instance_id = %s order by 1", instance
    )
    assert statuses == [("SLEEP", "running"), ("SQL", "completed"), ("THEN", "running")]


async def test_a_slow_step_is_shown_as_running_with_the_nodes_around_it(
    db: Database, worker: Worker
) -> None:
    instance = await db.start("'select pg_sleep(60)' ~> 'select 1'")

    async def shown() -> object:
        return await db.scalar(
            "select count(*) = 2 from df.nodes where instance_id = %s and status = 'running'",
            instance,
        )

    await until(shown)
    await db.rows(
        "select pg_cancel_backend(pid) from pg_stat_activity where query like '%%sleep(60)'"
    )
    assert await db.wait(instance) == "failed"


async def test_an_unknown_graph_in_the_rows_fails_its_instance_alone(
    db: Database, worker: Worker
) -> None:
    await db.rows("begin")
    poisoned = await db.start("'select 1' ?> 'select 2' !> 'select 3'")
    await db.rows(
        "update df.nodes set query = '[]' where instance_id = %s and node_type = 'IF'", poisoned
    )
    await db.rows("commit")
    sound = await db.start("'select 1'")

    assert await db.wait(sound) == "completed"
    assert await db.wait(poisoned) == "failed"
    assert "not a JSON object" in await db.output(poisoned)


async def test_the_longest_chain_runs(db: Database, worker: Worker) -> None:
    chain = " ~> ".join(f"'select {number} as n'" for number in range(257))

    instance = await db.start(chain)

    assert await db.wait(instance) == "completed", await db.output(instance)
    assert (await db.result(instance))["rows"] == [{"n": 256}]
