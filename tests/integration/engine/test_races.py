"""RACE: the first branch to finish decides; the other leaves no trace."""

import pytest

from pg_durable.engine.worker import Worker
from support.database import Database
from support.waiting import until

FAST_AND_SLOW = """
    'insert into t values (''fast'') returning v'
    | 'insert into t select ''slow'' from pg_sleep(60)'
"""


async def test_the_loser_is_stopped_in_the_server_and_rolled_back(
    db: Database, worker: Worker
) -> None:
    await db.rows("create table t (v text)")

    instance = await db.start(f"({FAST_AND_SLOW}) ~> 'select count(*) as n from t'")

    assert await db.wait(instance) == "completed", await db.output(instance)
    assert (await db.result(instance))["rows"] == [{"n": 1}]

    async def stopped() -> bool:
        return not await db.active("slow")

    await until(stopped, within=5)
    assert await db.rows("select v from t") == [("fast",)]


@pytest.mark.parametrize(
    ("workflow", "result"),
    [
        ("'select 1 as v' | df.sleep(60)", {"rows": [{"v": 1}], "row_count": 1}),
        ("df.sleep(60) | 'select 1 as v'", {"rows": [{"v": 1}], "row_count": 1}),
        ("df.sleep(1) | df.sleep(3600)", {"slept": True, "seconds": 1}),
        ("df.sleep(1) | 'select 1 from pg_sleep(60)'", {"slept": True, "seconds": 1}),
        (
            "(('select 7 as v' |=> 'x') | ('select pg_sleep(60)' |=> 'y')) ~> 'select $x as v'",
            {"rows": [{"v": 7}], "row_count": 1},
        ),
        (
            "(df.sleep(60) & 'select 1') | ('select 2 as v' ~> 'select 3 as v')",
            {"rows": [{"v": 3}], "row_count": 1},
        ),
        (
            "('select 1 as v' | df.sleep(60)) & ('select 2 as v' | df.sleep(60))",
            [{"rows": [{"v": 1}], "row_count": 1}, {"rows": [{"v": 2}], "row_count": 1}],
        ),
    ],
)
async def test_the_first_to_finish_gives_the_result(
    db: Database, worker: Worker, workflow: str, result: object
) -> None:
    instance = await db.start(workflow)

    assert await db.wait(instance) == "completed", await db.output(instance)
    assert await db.result(instance) == result


async def test_a_failing_branch_that_is_first_fails_the_race(db: Database, worker: Worker) -> None:
    instance = await db.start("'select pg_sleep(60)' | 'select 1/0'")

    assert await db.wait(instance) == "failed"
    assert (await db.output(instance)).startswith("RACE right branch failed: SQL execution failed")


async def test_nodes_of_the_loser_are_shown_as_skipped(db: Database, worker: Worker) -> None:
    instance = await db.start("'select 1' | (df.sleep(60) ~> 'select 2')")

    await db.wait(instance)

    assert await db.rows(
        "select node_type, query, inferred_status from df.instance_nodes(%s) order by 1, 2",
        instance,
    ) == [
        ("RACE", None, "completed"),
        ("SLEEP", "60", "skipped"),
        ("SQL", "select 1", "completed"),
        ("SQL", "select 2", "skipped"),
        ("THEN", None, "skipped"),
    ]


async def test_close_races_have_exactly_one_winner(db: Database, worker: Worker) -> None:
    await db.rows("create table t (race text, side text)")
    side = "'insert into t select ''{{sys_instance_id}}'', ''{side}'' from pg_sleep(0.02)'"
    workflow = f"{side.format(side='l')} | {side.format(side='r')}"

    await db.rows(f"select df.start({workflow}) from generate_series(1, 200)")
    await db.wait_all()

    assert await db.row("select count(*), count(distinct race) from t") == (200, 200)
    assert await db.rows("select status, count(*) from df.instances group by 1") == [
        ("completed", 200)
    ]


async def test_a_commit_cut_off_by_a_lost_race_does_not_hold_up_what_follows(
    db: Database, worker: Worker
) -> None:
    await db.rows("create table slow_commit (i int)")
    await db.rows(
        "create function dawdle() returns trigger language plpgsql as"
        " $$ begin perform pg_sleep(60); return null; end $$"
    )
    await db.rows(
        "create constraint trigger late after insert on slow_commit deferrable initially deferred"
        " for each row execute function dawdle()"
    )

    instance = await db.start(
        "(('insert into slow_commit values (1)' ~> 'select 1') | 'select pg_sleep(0.5)')"
        " ~> (('select 1 as v' | df.sleep(60)) & 'select 2 as v') ~> 'select 3 as v'"
    )

    assert await db.wait(instance, within=10) == "completed", await db.output(instance)
    assert (await db.result(instance))["rows"] == [{"v": 3}]
    assert await db.scalar("select count(*) from slow_commit") == 0


async def test_a_loser_that_failed_unrecorded_does_not_spoil_the_winners_checkpoint(
    db: Database, worker: Worker
) -> None:
    instance = await db.start(
        "('select null::int as v' |=> 'x')"
        " ~> (('select $x' & 'select pg_sleep(60)') | 'select 2 as v from pg_sleep(0.5)')"
    )

    assert await db.wait(instance, within=10) == "completed", await db.output(instance)
    assert (await db.result(instance))["rows"] == [{"v": 2}]
    assert await db.scalar("select attempts from df.instances where id = %s", instance) == 0
