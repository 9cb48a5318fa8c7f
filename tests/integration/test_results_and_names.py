"""Variables, names and conditions, as a worker brings them about."""

import pytest

from pg_durable.engine.worker import Worker
from support.database import Database

# --- variables


async def test_variables_are_alike_in_all_branches_and_iterations(
    db: Database, worker: Worker, user: Database
) -> None:
    await user.rows("select df.setvar('v', 'old'), df.setvar('n', '2'), df.setvar('ref', '$x')")
    await user.rows("select df.setvar('sys_label', 'mine'), df.setvar('sys_instance_id', 'mine')")
    await user.rows("insert into df.vars (name) values ('nothing')")
    await user.rows("create table seen (t text)")
    note = "$$insert into seen values ('{v}')$$"
    loop = f"df.loop({note}, 'select count(*) < {{n}} from seen')"
    look = "$$select '{sys_label}' as l, '{sys_instance_id}' as i, '{nothing}' as n, {ref} as r$$"
    instance = await user.start(
        f"'select 7 as v' |=> 'x' ~> df.wait_for_signal('go') ~> ({loop} & {note}) ~> {look}", "{v}"
    )
    await user.rows("select df.setvar('v', 'new'), df.setvar('ref', 'error'), df.unsetvar('n')")
    await user.rows("select df.signal(%s, 'go')", instance)

    seen = await db.completed_rows(instance)
    assert seen == [{"l": "{v}", "i": instance, "n": "{nothing}", "r": 7}]
    assert await db.rows("select distinct t from seen") == [("old",)]


async def test_a_workflow_reads_variables_as_they_are_and_sets_none(
    db: Database, worker: Worker, user: Database
) -> None:
    await user.rows("select df.setvar('v', 'old')")
    reads = "df.wait_for_signal('go') ~> $$select '{v}' as snapshot, df.getvar('v') as now$$"
    reading = await user.start(reads)
    setting = await user.start("$$select df.setvar('v', 'by a step')$$")
    await user.rows("select df.setvar('v', 'new')")
    await user.rows("select df.signal(%s, 'go')", reading)

    assert await user.completed_rows(reading) == [{"snapshot": "old", "now": "new"}]
    assert await user.wait(setting) == "failed"
    assert (await user.output(setting)).endswith(
        "df.setvar() cannot be called inside a workflow"
        " - set variables before starting the workflow"
    )


async def test_a_label_that_is_missing_is_empty_text(db: Database, worker: Worker) -> None:
    instance = await db.start("$$select '{sys_label}' as l$$")

    assert await db.completed_rows(instance) == [{"l": ""}]


# --- names


@pytest.mark.parametrize(
    ("named", "query", "value"),
    [
        ("('select 1 as v' ~> 'select 2 as v') |=> 'x'", "select $x as v", 2),
        ("('select 0' ?> 'select 1' !> 'select 3 as v') |=> 'x'", "select $x.v as v", 3),
        (
            "('select 1 as v' & 'select 2 as v') |=> 'x'",
            "select ($x::json #>> '{1,rows,0,v}')::int as v",
            2,
        ),
        ("('select 4 as v' | df.sleep(60)) |=> 'x'", "select $x as v", 4),
        ("df.loop('select 5 as v', 'select false') |=> 'x'", "select sum(v) as v from $x.*", 5),
        ("df.loop(df.break('done')) |=> 'x'", "select $x as v", '"done"'),
        ("df.loop(df.break('5')) |=> 'x'", "select $x as v", "5"),
        ("df.loop(df.break()) |=> 'x'", "select $x? as v", "null"),
        ("df.wait_for_signal('s', 1) |=> 'x'", "select $x.timed_out as v", True),
        ("df.wait_for_signal('s', 1) |=> 'x'", "select $x.data? as v", None),
        ("df.sleep(0) |=> 'x'", "select $x.seconds as v", 0),
        ("'select 1 as v' |=> 'x' ~> ('select 2 as v' |=> 'x')", "select $x as v", 2),
        ("('select 3 as v' |=> 'x') ?> 'select 1' !> 'select 2'", "select $x as v", 3),
        # The name is that of what stands to its left, and the last one counts.
        ("'select 1 as v' ~> 'select 2 as v' |=> 'y' |=> 'x'", "select $x as v, '$y' as y", 2),
        # What is inserted is not looked at again, neither for names nor for variables.
        ("""$$select '$x {sys_label} ''' || '"\\' as v$$ |=> 'x'""", "select $x as v", "$x  '\"\\"),
        # Columns come in the order of the query, whatever df.result makes of them.
        ("'select 8 as bb, 9 as a' |=> 'x'", "select $x as v", 8),
        ("'select 8, 9' |=> 'x'", "select $x as v", 9),
    ],
)
async def test_a_name_stands_for_the_result_of_its_node(
    db: Database, worker: Worker, named: str, query: str, value: object
) -> None:
    instance = await db.start(f"({named}) ~> $q${query}$q$")

    (row,) = await db.completed_rows(instance)
    assert row["v"] == value


@pytest.mark.parametrize(
    "left",
    [
        "'select 1' ~> df.break()",
        "'select true' ?> df.break() !> 'select 1'",
        "df.break() & 'select 1'",
        "df.break() | df.sleep(60)",
        "df.break()",
    ],
)
async def test_what_a_break_has_left_stores_nothing(
    db: Database, worker: Worker, left: str
) -> None:
    instance = await db.start(
        f"('select 0 as v' |=> 'x') ~> df.loop(({left}) |=> 'x') ~> 'select $x as v'"
    )

    assert await db.completed_rows(instance) == [{"v": 0}]


@pytest.mark.parametrize(
    ("workflow", "v"),
    [
        # JOIN: branches begin with the same names; on a conflict the later one counts.
        ("(df.sleep(1) ~> ('select 1 as v' |=> 'x')) & ('select 2 as v' |=> 'x')", 2),
        ("('select 1 as v' |=> 'x') & ('select $x as v' |=> 'y')", 1),
        ("('select 1 as v' |=> 'y') & (df.sleep(1) ~> ('select $x + 5 as v' |=> 'x'))", 5),
        # RACE: only what the winner stored is there.
        ("(('select 1 as v' |=> 'x') ~> df.sleep(60)) | df.sleep(1)", 0),
        ("df.sleep(60) | ('select 2 as v' |=> 'x')", 2),
        # LOOP: carried along, and there at the end; also in a branch, and when a JOIN is broken.
        ("df.loop('select $x + 1 as v' |=> 'x', 'select $x < 3')", 3),
        ("df.loop('select $x + 1 as v' |=> 'x', 'select $x < 3') & 'select 1'", 3),
        (
            "df.loop('select 1', 'select $x + 1 < 4 as v' |=> 'z' ~> ('select $x + 1 as v' |=> 'x')"
            " ~> 'select $x < 3')",
            3,
        ),
        ("df.loop(df.join('select 1 as v' |=> 'x', df.break(), 'select 3 as v' |=> 'x'))", 1),
        ("df.loop(df.join('select 1 as v' |=> 'x', ('select 2 as v' |=> 'x') ~> df.break()))", 2),
        ("df.loop((('select 1 as v' |=> 'x') ~> df.break()) | df.sleep(60))", 1),
    ],
)
async def test_names_are_seen_where_they_belong(
    db: Database, worker: Worker, workflow: str, v: int
) -> None:
    instance = await db.start(f"('select 0 as v' |=> 'x') ~> ({workflow}) ~> 'select $x as v'")

    assert await db.completed_rows(instance) == [{"v": v}]


@pytest.mark.parametrize(
    ("reference", "problem"),
    [
        ("$none", "$none has no rows — query returned zero results"),
        ("$nil", "$nil is NULL — first column of first row is NULL"),
        ("$nil.m", "$nil.m: result has no field 'm' (available: n)"),
        ("$slept.until", "$slept.until: result has no field 'until' (available: seconds, slept)"),
        ("$both.a", "$both.a: result is neither a row set nor a JSON object"),
        ("(select 1 from $slept.*)", "$slept.* — invalid result format"),
    ],
)
async def test_a_reference_that_cannot_be_filled_in_fails_its_step_unrun(
    db: Database, worker: Worker, reference: str, problem: str
) -> None:
    await db.rows("create sequence runs")
    instance = await db.start(
        "'select 1 where false' |=> 'none' ~> ('select null::int as n' |=> 'nil')"
        " ~> (df.sleep(0) |=> 'slept') ~> (('select 1' & 'select 2') |=> 'both')"
        f" ~> ($$select nextval('runs'), {reference}$$ & 'select 1')"
    )

    assert await db.wait(instance) == "failed"
    assert await db.output(instance) == f"JOIN branch 1 failed: {problem}"
    assert await db.scalar("select is_called from runs") is False
    assert await db.rows("select result #>> '{}' from df.nodes where query like '%%runs%%'") == [
        (problem,)
    ]


async def test_what_nobody_stored_stays_as_it_is_written(db: Database, worker: Worker) -> None:
    literal = await db.start("$$select '$x.* {y} $1' as v$$")
    broken = await db.start("'select $x'")

    assert await db.completed_rows(literal) == [{"v": "$x.* {y} $1"}]
    assert await db.wait(broken) == "failed"
    assert 'syntax error at or near "$"' in await db.output(broken)


# --- conditions


@pytest.mark.parametrize(
    ("condition", "verdict"),
    [
        ("'update t set i = 2'", False),
        ("'update t set i = 2 returning i'", True),
        ("'update t set i = 0 returning i'", False),
        ("'select 0.00 as a, true as b'", False),
        ("'select null'", False),
        ("'select from t'", True),
        ("'create temp table u ()'", False),
        ("df.sleep(0)", True),
        ("df.wait_for_signal('s', 1)", True),
        ("df.wait_for_signal('s', 1) |=> 's' ~> 'select not $s.timed_out'", False),
        ("'select false' & 'select false'", True),
        ("'select false' | df.sleep(60)", False),
        ("df.loop(df.break(' No '))", False),
        ("df.loop(df.break('[]'))", False),
        ("df.loop(df.break('{}'))", False),
        ("df.loop(df.break('off'))", True),
        ("'select true' ?> 'select false' !> 'select true'", False),
    ],
)
async def test_a_result_decides_a_condition(
    db: Database, worker: Worker, condition: str, verdict: bool
) -> None:
    await db.rows("create table t (i int); insert into t values (1)")

    instance = await db.start(f"({condition}) ?> 'select true as v' !> 'select false as v'")

    assert await db.completed_rows(instance) == [{"v": verdict}]
