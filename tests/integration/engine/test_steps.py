"""SQL steps: every kind of statement, every kind of failure."""

import pytest

from pg_durable.engine.worker import Worker
from support.database import Database
from support.workers import worker_here


@pytest.mark.parametrize(
    ("statement", "result"),
    [
        ("select 1 as a, 'x' as b", {"rows": [{"a": 1, "b": "x"}], "row_count": 1}),
        ("select 1 where false", {"rows": [], "row_count": 0}),
        ("-- nothing but a comment", {"rows": [], "row_count": 0}),
        ("", {"rows": [], "row_count": 0}),
        (
            "insert into t select g from generate_series(1, 3) g returning i",
            {"rows": [{"i": 1}, {"i": 2}, {"i": 3}], "row_count": 3},
        ),
        (
            "insert into t select g from generate_series(1, 3) g",
            {"rows": [], "row_count": 0, "rows_affected": 3},
        ),
        ("create table u (i int)", {"rows": [], "row_count": 0}),
        ("do $$ begin insert into t values (1); end $$", {"rows": [], "row_count": 0}),
        ("set work_mem = '8MB'", {"rows": [], "row_count": 0}),
        ("show server_encoding", {"rows": [{"server_encoding": "UTF8"}], "row_count": 1}),
        ("select array[1,2] as a", {"rows": [{"a": [1, 2]}], "row_count": 1}),
        ("select x from (select 1 as p, 'q' as r) x", {"rows": [{"x": "(1,q)"}], "row_count": 1}),
        ("begin", {"rows": [], "row_count": 0}),
        ("commit", {"rows": [], "row_count": 0}),
        ("rollback", {"rows": [], "row_count": 0}),
        ("prepare p as select 1", {"rows": [], "row_count": 0}),
        ("deallocate all", {"rows": [], "row_count": 0}),
        ("listen somewhere", {"rows": [], "row_count": 0}),
        ("set session authorization default", {"rows": [], "row_count": 0}),
    ],
)
async def test_a_statement_gives_its_result(
    db: Database, worker: Worker, statement: str, result: object
) -> None:
    await db.rows("create table t (i int)")

    instance = await db.start_sql(statement)

    assert await db.wait(instance) == "completed", await db.output(instance)
    assert await db.result(instance) == result


@pytest.mark.parametrize(
    "statement",
    [
        "vacuum t",
        "create index concurrently t_i on t (i)",
        "reindex table concurrently t",
        "call commits_inside()",
        "alter system reset work_mem",
        "discard all",
    ],
)
async def test_a_statement_that_must_not_be_in_a_transaction_runs_alone_and_says_so(
    db: Database, worker: Worker, statement: str
) -> None:
    await db.rows("create table t (i int)")
    await db.rows(
        "create procedure commits_inside() language plpgsql as"
        " $$ begin insert into t values (1); commit; insert into t values (2); end $$"
    )

    instance = await db.start_sql(statement)

    assert await db.wait(instance) == "completed", await db.output(instance)
    details = await db.scalar(
        "select status_details from df.nodes where instance_id = %s", instance
    )
    assert details["delivery"] == "at least once"


@pytest.mark.parametrize(
    ("statement", "sqlstate", "message"),
    [
        ("select 1/0", "22012", "division by zero"),
        ("selec 1", "42601", 'syntax error at or near "selec"'),
        (
            "select 1; select 2",
            "42601",
            "cannot insert multiple commands into a prepared statement",
        ),
        ("copy t from stdin", "WF009", "COPY from or to the client cannot be a step."),
        ("copy t to stdout", "WF009", "COPY from or to the client cannot be a step."),
        (
            "select pg_terminate_backend(0) from nowhere",
            "42P01",
            'relation "nowhere" does not exist',
        ),
        (
            "insert into late values (1), (1)",
            "23505",
            'duplicate key value violates unique constraint "late_i_key"',
        ),
        ("prepare transaction 'x'", "55000", "prepared transactions are disabled"),
    ],
)
async def test_a_failing_statement_fails_its_node_and_keeps_what_the_server_said(
    db: Database, worker: Worker, statement: str, sqlstate: str, message: str
) -> None:
    await db.rows("create table t (i int)")
    await db.rows("create table late (i int unique deferrable initially deferred)")

    instance = await db.start_sql(statement)

    assert await db.wait(instance) == "failed"
    assert message in await db.output(instance)
    details = await db.scalar(
        "select status_details from df.nodes where instance_id = %s", instance
    )
    assert details["sqlstate"] == sqlstate
    assert await db.scalar("select count(*) from late") == 0


@pytest.mark.parametrize(
    ("row", "does", "message", "sqlstate", "context"),
    [
        (
            1,
            "raise 'a line 5 at fault' using errcode = 'WF002'",
            "a line 5 at fault",
            "WF002",
            "PL/pgSQL function refuse() line 1 at RAISE",
        ),
        (1, "insert into late values (1), (1)", "duplicate key", "23505", None),
        (2, "null", 'violates foreign key constraint "t_i_fkey"', "23503", None),
    ],
)
async def test_what_a_step_has_deferred_fails_as_the_step_and_in_its_own_words(
    db: Database,
    worker: Worker,
    row: int,
    does: str,
    message: str,
    sqlstate: str,
    context: str | None,
) -> None:
    await db.rows("create table late (i int unique deferrable)")
    await db.rows("create table parents (i int primary key); insert into parents values (1)")
    await db.rows("create table t (i int references parents initially deferred)")
    await db.rows(
        "create function refuse() returns trigger language plpgsql as"
        f" $$ begin set constraints all deferred; {does}; return null; end $$;"
        "create constraint trigger refuse after insert on t deferrable initially deferred"
        " for each row execute function refuse()"
    )

    instance = await db.start_sql(f"insert into t values ({row})")

    assert await db.wait(instance) == "failed"
    assert message in await db.output(instance)
    details = await db.scalar(
        "select status_details from df.nodes where instance_id = %s", instance
    )
    assert details["sqlstate"] == sqlstate
    assert details.get("context") == context
    assert await db.scalar("select count(*) from t") == 0


async def test_a_step_sees_a_session_as_clean_as_a_new_login(database: str, db: Database) -> None:
    dirt = """do $$ begin
        set work_mem = '77MB';
        create temp table left_over (i int);
        perform pg_advisory_lock(4711);
        listen left_over;
        execute 'prepare left_over as select 1';
        execute 'declare left_over cursor with hold for select 1';
        perform nextval('s');
        execute 'set role nobody_special';
    end $$"""
    look = """select current_setting('work_mem') as work_mem,
        to_regclass('left_over')::text as temp_table,
        (select count(*) from pg_locks where locktype = 'advisory' and objid = 4711) as locks,
        (select count(*) from pg_listening_channels()) as channels,
        (select count(*) from pg_prepared_statements where from_sql) as statements,
        (select count(*) from pg_cursors where name = 'left_over') as cursors,
        current_user::text = session_user::text as own_role"""
    await db.rows("create sequence s")
    await db.rows("create role nobody_special")
    async with worker_here(database, max_user_connections=1):
        instance = await db.scalar("select df.start(%s ~> %s)", dirt, look)
        assert await db.wait(instance) == "completed", await db.output(instance)

    assert (await db.result(instance))["rows"] == [
        {
            "work_mem": "4MB",
            "temp_table": None,
            "locks": 0,
            "channels": 0,
            "statements": 0,
            "cursors": 0,
            "own_role": True,
        }
    ]
    await db.rows("drop role nobody_special")


async def test_a_role_whose_transactions_are_read_only_can_run_steps(
    db: Database, worker: Worker
) -> None:
    await db.rows("create role reader login")
    await db.rows("alter role reader set default_transaction_read_only = on")
    await db.rows("select df.grant_usage('reader')")
    reader = await db.connect_as("reader")
    await reader.rows("set default_transaction_read_only = off")

    instance = await reader.start_sql("select count(*) > 0 as some from pg_class")

    assert await db.wait(instance) == "completed", await db.output(instance)
    await reader.close()
    await db.rows("drop owned by reader")
    await db.rows("drop role reader")


async def test_a_step_runs_as_the_role_that_started_it(db: Database, worker: Worker) -> None:
    await db.rows('create role "odd ""name" login')
    await db.rows("select df.grant_usage('odd \"name')")
    odd = await db.connect_as('odd "name')

    instance = await odd.start_sql("select current_user::text as c, session_user::text as s")

    assert await odd.wait(instance) == "completed", await db.output(instance)
    assert (await odd.result(instance))["rows"] == [{"c": 'odd "name', "s": 'odd "name'}]
    await odd.close()
    await db.rows('drop owned by "odd ""name"')
    await db.rows('drop role "odd ""name"')


async def test_a_result_larger_than_the_limit_fails_the_step_and_undoes_it(
    database: str, db: Database
) -> None:
    await db.rows("create table t (i int)")
    async with worker_here(database, max_result_bytes=1000):
        instance = await db.start_sql(
            "insert into t select generate_series(1, 1000) returning repeat('x', 10)"
        )
        assert await db.wait(instance) == "failed"

    assert "max_result_bytes" in await db.output(instance)
    assert await db.scalar("select count(*) from t") == 0


async def test_every_type_has_a_json_form(db: Database, worker: Worker) -> None:
    await db.rows("create type mood as enum ('sad', 'happy')")
    await db.rows("create type pair as (a int, b text[])")
    await db.rows("create domain small as int check (value < 10)")

    instance = await db.start_sql(
        """select true as b, 32767::int2 as i2, 9223372036854775807 as i8, 3.14::real as f4,
            1::float8 as f8, 'NaN'::float8 as nan, 19.99::numeric(8,2) as n, 'x'::char(3) as c,
            '2024-05-01 10:00+00'::timestamptz as ts, '2024-05-01'::date as d,
            '{"a": 1.10}'::json as j, null::int as nothing, '\\x00ff'::bytea as bytes,
            array[[1,2],[3,4]] as matrix, 'happy'::mood as mood, row(1, array['x'])::pair as pair,
            5::small as small, '1 day'::interval as span, int4range(1, 5) as range,
            array['happy'::mood] as moods, '10.0.0.1'::inet as ip, array[]::text[] as none"""
    )

    assert await db.wait(instance) == "completed", await db.output(instance)
    stored = await db.scalar("select result::text from df.nodes where instance_id = %s", instance)
    assert stored == (
        '{"rows":[{"b":true,"i2":32767,"i8":9223372036854775807,"f4":3.14,"f8":1.0,"nan":null,'
        '"n":"19.99","c":"x  ","ts":"2024-05-01T10:00:00+00:00","d":"2024-05-01","j":{"a":1.10},'
        '"nothing":null,"bytes":"\\\\x00ff","matrix":[[1,2],[3,4]],"mood":"happy",'
        '"pair":{"a":1,"b":["x"]},"small":5,"span":"1 day","range":"[1,5)","moods":["happy"],'
        '"ip":"10.0.0.1","none":[]}],"row_count":1}'
    )


@pytest.mark.parametrize(
    ("statement", "error"),
    [
        ("deallocate all", None),
        ("set transaction read only", None),
        ("insert into t values (1)", "duplicate key value"),
    ],
)
async def test_a_step_whose_commit_is_refused_does_not_take_its_successor_along(
    db: Database, worker: Worker, statement: str, error: str | None
) -> None:
    await db.rows("create table t (i int unique deferrable initially deferred)")
    await db.rows("insert into t values (1)")

    instance = await db.start(f"'{statement}' ~> 'insert into t values (2)'")

    status = await db.wait(instance, within=10)
    assert error in await db.output(instance) if error else status == "completed"
    assert await db.rows("select i from t") == ([(1,)] if error else [(1,), (2,)])
