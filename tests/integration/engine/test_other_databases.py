"""Steps in another database than that of the `df` schema: as everywhere, but at least once."""

import itertools
from collections.abc import AsyncIterator

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from pg_durable.embedded import EmbeddedServer
from pg_durable.engine.worker import Worker
from support.database import Database
from support.waiting import until
from support.workers import worker_here

_numbers = itertools.count(1)


@pytest.fixture
async def other(server: EmbeddedServer) -> AsyncIterator[Database]:
    """A session with another database, which has nothing of ours."""
    name = sql.Identifier(f'Other "{next(_numbers)}"')
    with psycopg.connect(server.dsn(), autocommit=True) as admin:
        admin.execute(sql.SQL("create database {} template template0").format(name))
    session = await Database.connect(make_conninfo(server.dsn(), dbname=name._obj[0]))
    yield session
    await session.close()
    with psycopg.connect(server.dsn(), autocommit=True) as admin:
        admin.execute(sql.SQL("drop database if exists {} with (force)").format(name))


async def start(db: Database, other: Database, workflow: str) -> str:
    """Start a workflow, given as an SQL expression, whose steps run in the other database."""
    return str(await db.scalar(f"select df.start({workflow}, null, %s)", other.session.info.dbname))


async def details_of(db: Database, instance: str) -> list[dict[str, object]]:
    """What is recorded beside the results of the SQL nodes."""
    rows = await db.rows(
        "select status_details from df.nodes where instance_id = %s and node_type = 'SQL'",
        instance,
    )
    return [details or {} for (details,) in rows]


async def test_a_step_runs_in_the_other_database_as_the_role_that_started_it(
    db: Database, user: Database, other: Database, worker: Worker
) -> None:
    instance = await start(
        user,
        other,
        "'select current_database()::text as d, current_user::text as c, session_user::text as s,"
        " current_setting(''df.in_workflow'') as w, to_regnamespace(''df'')::text as df'",
    )

    assert await db.completed_rows(instance) == [
        {
            "d": other.session.info.dbname,
            "c": "spec_user",
            "s": "spec_user",
            "w": "true",
            "df": None,
        }
    ]
    assert await details_of(db, instance) == [{"delivery": "at least once"}]


async def test_a_graph_runs_there_with_names_conditions_joins_races_and_loops(
    db: Database, other: Database, worker: Worker
) -> None:
    await other.rows("create table t (i int)")

    instance = await start(
        db,
        other,
        """('insert into t values (1) returning i' |=> 'one')
        ~> ('insert into t values ($one.i + 1)' & 'insert into t values ($one.i + 2)')
        ~> ('select true' ?> 'insert into t values (4)' !> 'select 1/0')
        ~> ('insert into t values (5)' | 'select pg_sleep(600)')
        ~> df.loop('insert into t select max(i) + 1 from t', 'select max(i) < 8 from t')
        ~> 'select array_agg(i order by i) as list from t'""",
    )

    assert await db.completed_rows(instance) == [{"list": [1, 2, 3, 4, 5, 6, 7, 8]}]
    assert await db.active("pg_sleep(600)") == 0


async def test_every_type_has_the_same_json_form_there(
    db: Database, other: Database, worker: Worker
) -> None:
    types = (
        "create type mood as enum ('sad', 'happy')",
        'create schema "odd % schema"',
        'create type "odd % schema"."p %s air" as (a int, b text[])',
    )
    for database in (db, other):
        for statement in types:
            await database.rows(statement)
    query = """'select true as b, 9223372036854775807 as i8, 3.14::real as f4, 19.99::numeric as n,
        ''2024-05-01 10:00+00''::timestamptz as ts, ''{"a": 1.10}''::json as j, null::int[] as no,
        array[[1,2],[3,4]] as matrix, ''happy''::mood as mood, array[''sad''::mood] as moods,
        row(1, array[''x''])::"odd %% schema"."p %%s air" as pair,
        row(1, ''q'') as record, array[1.50, null] as numbers'"""

    here = await db.start(query)
    there = await start(db, other, query)

    assert await db.wait(here) == "completed", await db.output(here)
    assert await db.wait(there) == "completed", await db.output(there)
    results = await db.rows("select result::text from df.nodes where instance_id in (%s, %s)",
                            here, there)  # fmt: skip
    assert results[0] == results[1]
    assert '"pair":{"a":1,"b":["x"]},"record":"(1,q)"' in results[0][0]


@pytest.mark.parametrize("statement", ["''", "'begin'", "'commit'", "'rollback'", "'set role x'"])
async def test_statements_around_the_transaction_do_no_harm(
    db: Database, other: Database, worker: Worker, statement: str
) -> None:
    await db.rows("create role x")

    instance = await start(db, other, f"{statement} ~> 'select current_user = session_user as own'")

    assert await db.completed_rows(instance) == [{"own": True}]
    await db.rows("drop role x")


@pytest.mark.parametrize("statement", ["vacuum t", "call p()", "discard all"])
async def test_a_statement_that_must_not_be_in_a_transaction_runs_there_too(
    db: Database, other: Database, worker: Worker, statement: str
) -> None:
    await other.rows("create table t (key text)")
    await other.rows(
        "create procedure p() language plpgsql as $$ begin"
        " insert into t values (current_setting('df.idempotency_key')); commit; end $$"
    )

    instance = await start(db, other, f"'{statement}' ~> 'select 1 as v'")

    assert await db.completed_rows(instance) == [{"v": 1}]
    keys = await other.rows("select key from t")
    assert len(keys) == (statement == "call p()")
    assert all(key.startswith(f"pg_durable-{instance}-") for (key,) in keys)


@pytest.mark.parametrize(
    ("statement", "sqlstate", "message"),
    [
        ("select 1/0", "22012", "division by zero"),
        ("select 1; select 2", "42601", "cannot insert multiple commands"),
        ("copy t from stdin", "WF009", "COPY from or to the client cannot be a step."),
        ("insert into t values (1), (1)", "23505", "duplicate key value"),
        ("select df.status('3fa9c1d0')", "3F000", 'schema "df" does not exist'),
        ("call bad()", "22012", "division by zero"),
    ],
)
async def test_a_failing_statement_fails_its_node_and_leaves_nothing(
    db: Database, other: Database, worker: Worker, statement: str, sqlstate: str, message: str
) -> None:
    await other.rows("create table t (i int unique deferrable initially deferred)")
    await other.rows(
        "create procedure bad() language plpgsql as $$ begin commit; perform 1/0; end $$"
    )

    instance = await db.scalar(
        "select df.start(%s, null, %s)", statement, other.session.info.dbname
    )

    assert await db.wait(instance) == "failed"
    assert message in await db.output(instance)
    (details,) = await details_of(db, instance)
    assert details["sqlstate"] == sqlstate
    if not sqlstate.startswith("WF"):
        assert details["statement"] == statement
    assert await other.scalar("select count(*) from t") == 0


async def test_a_result_larger_than_the_limit_fails_the_step_and_undoes_it(
    db: Database, other: Database, database: str
) -> None:
    await other.rows("create table t (a text[])")
    async with worker_here(database, max_result_bytes=1000):
        huge = await start(
            db, other, "'insert into t select array[repeat(''x'', 99)]"
            " from generate_series(1, 5000) returning a'"
        )  # fmt: skip
        # Its text form is below the limit, its JSON form is not.
        swelling = await start(
            db, other, "'insert into t values (array[repeat(e''\\x01'', 300)]) returning a'"
        )
        assert await db.wait(huge) == "failed"
        assert await db.wait(swelling) == "failed"

    for instance in (huge, swelling):
        assert "max_result_bytes" in await db.output(instance)
    assert await other.scalar("select count(*) from t") == 0


async def test_each_step_finds_the_session_as_a_new_login_does(
    db: Database, other: Database, database: str
) -> None:
    dirt = """'do $$ begin
        set work_mem = ''77MB'';
        create temp table left_over (i int);
        perform pg_advisory_lock(4711);
        listen left_over;
        execute ''prepare left_over as select 1'';
    end $$'"""
    look = """'select current_setting(''work_mem'') as work_mem,
        to_regclass(''left_over'')::text as temp_table,
        (select count(*) from pg_locks where locktype = ''advisory'' and objid = 4711) as locks,
        (select count(*) from pg_listening_channels()) as channels,
        (select count(*) from pg_prepared_statements) as statements'"""
    async with worker_here(database, max_user_connections=1):
        instance = await start(db, other, f"{dirt} ~> {look}")

        assert await db.completed_rows(instance) == [
            {"work_mem": "4MB", "temp_table": None, "locks": 0, "channels": 0, "statements": 0}
        ]


async def test_the_key_differs_by_node_iteration_and_instance_and_an_own_step_has_none(
    db: Database, other: Database, worker: Worker
) -> None:
    await other.rows("create table keys (key text)")
    put = "'insert into keys values (current_setting(''df.idempotency_key''))'"
    workflow = f"{put} ~> df.loop({put}, 'select count(*) %% 3 <> 0 from keys') ~> {put}"

    instances = [await start(db, other, workflow) for _ in range(2)]
    for instance in instances:
        assert await db.wait(instance) == "completed", await db.output(instance)
    own = await db.start(
        "'select nullif(current_setting(''df.idempotency_key'', true), '''') as key'"
    )

    keys = [key for (key,) in await other.rows("select key from keys")]
    assert len(set(keys)) == len(keys)
    assert {key.split("-")[1] for key in keys} == set(instances)
    assert await db.completed_rows(own) == [{"key": None}]


async def test_a_statement_outside_a_transaction_can_read_its_key_at_home_too(
    db: Database, worker: Worker
) -> None:
    await db.rows("create table keys (key text)")
    await db.rows(
        "create procedure p() language plpgsql as $$ begin"
        " insert into keys values (current_setting('df.idempotency_key')); commit; end $$"
    )

    instance = await db.start("'call p()' ~> 'call p()' ~> 'vacuum keys'")

    assert await db.wait(instance) == "completed", await db.output(instance)
    keys = [key for (key,) in await db.rows("select key from keys")]
    assert len(set(keys)) == 2
    assert all(key.startswith(f"pg_durable-{instance}-") for key in keys)


async def test_a_step_that_is_run_again_has_the_same_key(
    db: Database, other: Database, database: str
) -> None:
    await other.rows("create table runs (key text)")
    await other.rows("create extension dblink")
    note = (
        "perform dblink_exec(format(''dbname=%%L host=%%s port=%%s'', current_database(),"
        " current_setting(''unix_socket_directories''), current_setting(''port'')),"
        " format(''insert into runs values (%%L)'', current_setting(''df.idempotency_key'')));"
    )
    async with worker_here(database, max_attempts=3):
        end = "perform pg_terminate_backend(pg_backend_pid());"
        instance = await start(db, other, f"'do $$ begin {note} {end} end $$'")
        assert await db.wait(instance, within=15) == "failed"

    assert "given up after 3 attempts in a row" in await db.output(instance)
    assert await other.row("select count(*), count(distinct key) from runs") == (3, 1)


async def test_a_slow_step_shows_as_running_and_a_cancellation_stops_it(
    db: Database, other: Database, worker: Worker
) -> None:
    await other.rows("create table t (i int)")
    instance = await start(
        db, other, "'with i as (insert into t values (1)) select pg_sleep(600)' ~> 'select 1'"
    )

    async def shown() -> object:
        return await db.scalar(
            "select count(*) = 2 from df.nodes where instance_id = %s and status = 'running'",
            instance,
        )

    await until(shown)
    await db.rows("select df.cancel(%s)", instance)

    async def stopped() -> bool:
        return await other.active("pg_sleep(600)") == 0

    await until(stopped)
    assert await db.status(instance) == "cancelled"
    assert await other.scalar("select count(*) from t") == 0


async def test_a_database_that_is_dropped_before_the_step_fails_the_node(
    db: Database, other: Database, database: str
) -> None:
    name = other.session.info.dbname
    instance = await start(db, other, "'select 1'")
    await other.close()
    await db.session.execute(sql.SQL("drop database {}").format(sql.Identifier(name)))

    async with worker_here(database):
        assert await db.wait(instance) == "failed"

    output = await db.output(instance)
    assert output.startswith(f"Failed to connect to database '{name}' as 'postgres'. Error: ")
    assert f'database "{name}" does not exist' in output


async def test_a_role_that_may_not_connect_there_fails_the_node(
    db: Database, user: Database, other: Database, worker: Worker
) -> None:
    name = sql.Identifier(other.session.info.dbname)
    await other.session.execute(sql.SQL("revoke connect on database {} from public").format(name))

    instance = await start(user, other, "'select 1'")

    assert await db.wait(instance) == "failed"
    assert "permission denied for database" in await db.output(instance)


async def test_a_database_without_a_free_connection_is_waited_for(
    db: Database,
    user: Database,
    other: Database,
    worker: Worker,
    caplog: pytest.LogCaptureFixture,
) -> None:
    name = sql.Identifier(other.session.info.dbname)
    await other.session.execute(sql.SQL("alter database {} connection limit 0").format(name))
    instance = await start(user, other, "'select 1 as v'")

    async def waits() -> object:
        return "steps of role spec_user wait until the server has a session" in caplog.text

    await until(waits)
    elsewhere = await user.start("'select 2 as v'")
    assert await db.wait(elsewhere) == "completed"
    await other.session.execute(sql.SQL("alter database {} connection limit -1").format(name))

    assert await db.completed_rows(instance) == [{"v": 1}]


async def test_the_own_database_by_name_is_as_good_as_none(db: Database, worker: Worker) -> None:
    instance = await start(db, db, "'select to_regnamespace(''df'') is not null as df'")

    assert await db.completed_rows(instance) == [{"df": True}]
    assert await details_of(db, instance) == [{}]


async def test_a_database_that_takes_no_connections_is_refused_at_the_start(db: Database) -> None:
    with pytest.raises(psycopg.Error) as refused:
        await db.rows("select df.start('select 1', null, 'template0')")

    assert refused.value.sqlstate == "WF001"
    assert 'database "template0" does not accept connections' in str(refused.value)
