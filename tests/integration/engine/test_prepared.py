"""A query that comes often is prepared in its session, and never the worse for it."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from pg_durable.engine.worker import Worker
from pg_durable.wire import Wire
from support.database import Database
from support.workers import worker_here

_OFTEN = 8  # times: more than it takes


@pytest.fixture
async def one_session(db: Database) -> AsyncIterator[Worker]:
    """A worker with one session for steps, which sees every one of them."""
    async with worker_here(db.conninfo, max_user_connections=1) as worker:
        yield worker


async def run(db: Database, *steps: str) -> str:
    """Run a chain of steps to its end; the id of the instance."""
    instance = await db.start(" ~> ".join(f"$step${step}$step$" for step in steps))
    await db.wait(instance)
    return instance


async def rows_of(db: Database, *steps: str) -> object:
    """The rows of the last step of a chain."""
    instance = await run(db, *steps)
    result = await db.result(instance)
    assert result is not None, await db.output(instance)
    return result["rows"]


def prepared(query: str) -> str:
    """A step that tells how often a query is prepared in its session."""
    return f"select count(*)::int as n from pg_prepared_statements where statement = $q${query}$q$"


@pytest.mark.parametrize(
    ("statement", "times"),
    [
        ("select 1 as a", 1),
        ("-- a note\nINSERT into t values (1, 2)", 1),
        ("update t set a = a + 1", 1),
        ("delete from t", 1),
        ("with x as (select 1) select * from x", 1),
        ("table t", 1),
        ("values (1)", 1),
        ("analyze t", 0),
        ("set work_mem = '8MB'", 0),
        ("call nothing()", 0),
        ("do 'begin end'", 0),
        ("select '" + "x" * 10_000 + "'", 0),
    ],
)
async def test_a_query_that_is_repeated_is_prepared_once(
    db: Database, one_session: Worker, statement: str, times: int
) -> None:
    await db.rows("create table t (a int, b int)")
    await db.rows("create procedure nothing() language sql as ''")

    rows = await rows_of(db, *[statement] * _OFTEN, prepared(statement))

    assert rows == [{"n": times}]


async def test_each_run_of_a_prepared_query_is_a_step_of_its_own(
    db: Database, one_session: Worker
) -> None:
    await db.rows("create table t (n int generated always as identity, xid xid8, at timestamptz)")

    await run(db, *["insert into t (xid, at) values (pg_current_xact_id(), now())"] * 50)

    assert await db.row("select count(*), count(distinct xid), count(distinct at) from t") == (
        50,
        50,
        50,
    )


async def test_after_a_query_the_commit_begins_the_next_transaction(
    db: Database, one_session: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []
    execute = Wire.execute

    def noting(self: Wire, statement: str, *arguments: Any) -> None:
        sent.append(statement)
        execute(self, statement, *arguments)

    monkeypatch.setattr(Wire, "execute", noting)

    await run(db, "select 1", "values (1)", "set work_mem = '8MB'", "select 2")

    assert [text for text in sent if text.startswith(("begin", "commit"))] == [
        "begin", "commit and chain", "commit and chain", "commit", "begin", "commit",
    ]  # fmt: skip


async def test_a_session_that_is_old_is_not_used_again(db: Database) -> None:
    who = "select pg_backend_pid() as pid"
    async with worker_here(db.conninfo, max_user_connections=1, lane_max_age=0.5):
        first = await rows_of(db, who)
        await db.rows("select pg_sleep(0.6)")
        second = await rows_of(db, who)

    assert first != second


async def test_a_table_that_changes_is_read_as_it_is_now(db: Database, one_session: Worker) -> None:
    await db.rows("create table t (a int); insert into t values (1)")
    read = ["select * from t"] * _OFTEN

    before = await rows_of(db, *read)
    await db.rows("alter table t add b text default 'new'")
    wider = await rows_of(db, *read)
    await db.rows("create table s (c int); insert into s values (3)")
    await db.rows("begin; alter table t rename to old; alter table s rename to t; commit")
    swapped = await rows_of(db, *read)
    await db.rows("drop table t")
    instance = await run(db, *read)

    assert before == [{"a": 1}]
    assert wider == [{"a": 1, "b": "new"}]
    assert swapped == [{"c": 3}]
    assert 'relation "t" does not exist' in await db.output(instance)


@pytest.mark.parametrize("chained", [True, False])
@pytest.mark.parametrize(
    "between",
    [
        "do $$ begin execute 'deallocate pg_durable_query_1'; end $$",
        """do $$ begin
             execute 'deallocate pg_durable_query_1';
             execute 'prepare pg_durable_query_1 as select 666 as a';
           end $$""",
        "discard all",
        "deallocate all",
    ],
)
async def test_a_step_that_takes_away_what_is_prepared_harms_no_other(
    db: Database, one_session: Worker, between: str, chained: bool
) -> None:
    await run(db, *["select 1 as a"] * _OFTEN)
    steps = [between, "select 1 as a"]

    after = [await rows_of(db, *steps)] if chained else [await rows_of(db, step) for step in steps]
    again = await rows_of(db, *["select 1 as a"] * _OFTEN)

    assert after[-1] == again == [{"a": 1}]


async def test_a_query_that_fails_says_so_each_time(db: Database, one_session: Worker) -> None:
    fails = ["select 1 / 0", "select nothing from nowhere", "select 'x' as a from", "select $1"]

    outputs = [
        {await db.output(await run(db, statement)) for _ in range(_OFTEN)} for statement in fails
    ]

    assert [len(output) for output in outputs] == [1, 1, 1, 1]
    assert [next(iter(output)).split(": ")[-1] for output in outputs] == [
        "division by zero",
        'relation "nowhere" does not exist',
        "syntax error at end of input",
        'bind message supplies 0 parameters, but prepared statement "" requires 1',
    ]


async def test_a_query_that_fails_by_code_of_its_own_runs_once(
    db: Database, one_session: Worker
) -> None:
    await db.rows("create sequence runs")
    await db.rows(
        """create function fails() returns int language plpgsql as $$
           begin
             perform nextval('runs');
             raise exception 'not yet' using errcode = '0A000';
           end $$"""
    )

    for _ in range(_OFTEN):
        await run(db, "select fails()")

    assert await db.scalar("select last_value from runs") == _OFTEN


async def test_times_that_are_written_as_words_are_those_of_each_run(
    db: Database, one_session: Worker
) -> None:
    await db.rows("create table t (at timestamptz, shown timestamptz)")

    await run(db, *["insert into t values ('now', now())"] * _OFTEN)

    assert await db.scalar("select count(*) from t where at = shown") == _OFTEN


async def test_what_a_query_needs_may_come_later(db: Database, one_session: Worker) -> None:
    read = "select a from late"
    failed = [await run(db, read) for _ in range(_OFTEN)]

    await db.rows("create table late as select 1 as a")
    rows = [await rows_of(db, read) for _ in range(_OFTEN)]

    assert {await db.status(instance) for instance in failed} == {"failed"}
    assert rows == [[{"a": 1}]] * _OFTEN


async def test_large_results_of_prepared_queries_come_whole(
    db: Database, one_session: Worker
) -> None:
    many = "select g as n, repeat('x', 100) as x from generate_series(1, 5000) g"

    counts = []
    for _ in range(_OFTEN):
        rows = await rows_of(db, many)
        assert isinstance(rows, list)
        counts.append((len(rows), rows[0]["n"], rows[-1]["n"]))

    assert counts == [(5000, 1, 5000)] * _OFTEN


@pytest.mark.parametrize(
    "dirty",
    [
        "set transaction isolation level serializable",
        "-- a note\rset transaction isolation level serializable",
        "/* one /* within */ select */ set transaction isolation level serializable",
        "set transaction read only",
        "select set_config('transaction_read_only', 'on', false)",
        "select set_config('transaction_read_only', 'on', true) from generate_series(1, 2)",
        "set transaction deferrable",
        "select set_config('default_transaction_isolation', 'serializable', false)",
    ],
)
async def test_no_step_inherits_how_the_transaction_before_was_begun(
    db: Database, one_session: Worker, dirty: str
) -> None:
    shown = """select current_setting('transaction_isolation') as isolation,
      current_setting('transaction_read_only') as read_only,
      current_setting('transaction_deferrable') as "deferrable" """

    in_a_chain = await rows_of(db, "select 1", dirty, shown)
    after_it = await rows_of(db, shown)

    new = {"isolation": "read committed", "read_only": "off", "deferrable": "off"}
    assert in_a_chain == after_it == [new]
