"""identity = set_role: one login for all, and each step with the rights of its role alone."""

from collections.abc import AsyncIterator

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from support.database import Database
from support.waiting import until
from support.workers import worker_here

ODD_NAMES = ['Odd "Name" of \\ it\'s', "größe Ñ 漢字", "x" * 63, "a,b=c --d", "Select"]


@pytest.fixture
async def spec_worker(db: Database, user: Database) -> AsyncIterator[str]:
    """A connection string of a worker's role that may take the role spec_user."""
    await db.rows("create role spec_worker login noinherit")
    await db.rows("select df.grant_worker('spec_worker')")
    await db.rows("grant spec_user to spec_worker")
    yield make_conninfo(db.conninfo, user="spec_worker")
    await db.rows("drop owned by spec_worker")
    await db.rows("drop role spec_worker")


async def test_each_step_of_a_chain_has_the_rights_of_its_role(
    db: Database, user: Database, spec_worker: str
) -> None:
    await user.rows("create table seen (who text)")
    note = "insert into seen select current_user::text"
    instance = await user.start(
        f"'{note}' ~> 'reset role' ~> '{note}' ~> 'set role none' ~> '{note}'"
        " ~> 'set session authorization default'"
        " ~> 'select session_user::text as login, current_user::text as who'"
    )

    async with worker_here(spec_worker, identity="set_role"):
        rows = await user.completed_rows(instance)

    assert rows == [{"login": "spec_worker", "who": "spec_user"}]
    assert await user.rows("select who from seen") == [("spec_user",)] * 3


async def test_prepared_queries_have_the_rights_that_their_role_has_now(
    db: Database, user: Database, spec_worker: str
) -> None:
    await db.rows(
        "create table shared (owner text); insert into shared values ('spec_user'), ('x')"
    )
    await db.rows("grant select on shared to spec_user")
    query = "'select count(*)::int as n, current_user::text as who from shared'"
    repeated = " ~> ".join([query] * 8)

    async with worker_here(spec_worker, identity="set_role", max_user_connections=1):
        everything = await user.completed_rows(await user.start(repeated))
        await db.rows("create policy own on shared using (owner = current_user)")
        await db.rows("alter table shared enable row level security")
        own = await user.completed_rows(await user.start(repeated))
        await db.rows("revoke select on shared from spec_user")
        refused = await user.start(query)
        status = await user.wait(refused)

    assert everything == [{"n": 2, "who": "spec_user"}]
    assert own == [{"n": 1, "who": "spec_user"}]
    assert status == "failed"
    assert "permission denied for table shared" in await user.output(refused)


async def test_each_step_in_another_database_has_the_rights_of_its_role(
    db: Database, user: Database, spec_worker: str
) -> None:
    who = "select session_user::text as login, current_user::text as who"
    instances = [
        await user.scalar(f"select df.start({workflow}, null, 'postgres')")
        for workflow in (
            f"'set role none' ~> 'set session authorization default' ~> '{who}'",
            f"'vacuum pg_catalog.pg_class' ~> '{who}'",
        )
    ]

    async with worker_here(spec_worker, identity="set_role", max_user_connections=1):
        for instance in instances:
            assert await user.completed_rows(instance) == [
                {"login": "spec_worker", "who": "spec_user"}
            ]


async def test_steps_in_a_transaction_of_their_own_have_the_rights_of_their_role(
    db: Database, user: Database, spec_worker: str
) -> None:
    await user.rows("create table t (n int)")
    await user.rows(
        "create procedure commits() language plpgsql as $$ begin"
        " insert into t values (1); commit; insert into t values (2); end $$"
    )
    instance = await user.start("'call commits()' ~> 'vacuum t' ~> 'insert into t select 1/0' ")
    again = await user.start("'select current_user::text as who, count(*) from t'")

    async with worker_here(spec_worker, identity="set_role", max_user_connections=1):
        assert await user.wait(instance) == "failed"
        assert await user.output(instance) == (
            "SQL execution failed: error returned from database: division by zero"
        )
        (row,) = await user.completed_rows(again)

    assert row["who"] == "spec_user"
    assert await user.scalar("select count(*) from t") == 2


async def test_a_failed_step_leaves_the_next_on_its_session_the_right_role(
    user: Database, spec_worker: str
) -> None:
    async with worker_here(spec_worker, identity="set_role", max_user_connections=1):
        for failing in ("select 1/0", "do 'begin set role none; perform 1/0; end'"):
            assert await user.wait(await user.start_sql(failing)) == "failed"
            following = await user.start_sql("select current_user::text as who")
            assert await user.completed_rows(following) == [{"who": "spec_user"}]


async def test_one_session_never_serves_two_roles(
    db: Database, user: Database, spec_worker: str
) -> None:
    await db.rows("create role spec_other login")
    await db.rows("select df.grant_usage('spec_other')")
    await db.rows("grant spec_other to spec_worker")
    other = await db.connect_as("spec_other")
    who = "select current_user::text as who, pg_backend_pid() as pid"

    async with worker_here(spec_worker, identity="set_role"):
        first = await user.completed_rows(await user.start_sql(who))
        theirs = await other.completed_rows(await other.start_sql(who))
        again = await user.completed_rows(await user.start_sql(who))

    assert [row[0]["who"] for row in (first, theirs, again)] == [
        "spec_user",
        "spec_other",
        "spec_user",
    ]
    assert theirs[0]["pid"] not in (first[0]["pid"], again[0]["pid"])
    await other.close()
    await db.rows("drop owned by spec_other")
    await db.rows("drop role spec_other")


async def test_a_step_cannot_record_anything_for_another_role(
    db: Database, user: Database, spec_worker: str
) -> None:
    victim = await db.start("df.wait_for_signal('never')")
    async with worker_here(spec_worker, identity="set_role"):
        await until(lambda: db.scalar("select due_at = 'infinity' from df.instances"))
        await db.rows("update df.instances set worker = 77 where id = %s", victim)
        forged = await user.start_sql(
            f"select df._checkpoint('{victim}', 77, '{{}}', '{{}}', '{{}}', '{{}}', '{{}}',"
            " 'completed', null)"
        )

        assert await user.wait(forged) == "failed"

    assert await user.output(forged) == (
        "SQL execution failed: error returned from database: the claim on this instance is gone"
    )
    assert await db.status(victim) == "running"


@pytest.mark.parametrize("identity", ["login", "set_role"])
@pytest.mark.parametrize("name", ODD_NAMES)
async def test_roles_with_odd_names_run_their_steps(db: Database, identity: str, name: str) -> None:
    quoted = psycopg.sql.Identifier(name).as_string()
    await db.rows(f"create role {quoted} login")
    await db.rows("create role spec_worker login")
    await db.rows(f"grant {quoted} to spec_worker")
    await db.rows("select df.grant_usage(%s), df.grant_worker('spec_worker')", name)
    odd = await db.connect_as(name)
    instance = await odd.start("'select 1' ~> 'select current_user::text as who'")

    async with worker_here(make_conninfo(db.conninfo, user="spec_worker"), identity=identity):
        assert await odd.completed_rows(instance) == [{"who": name}]

    await odd.close()
    await db.rows(f"drop owned by {quoted}, spec_worker")
    await db.rows(f"drop role {quoted}, spec_worker")


@pytest.mark.parametrize("identity", ["login", "set_role"])
async def test_what_a_definers_function_starts_runs_as_its_owner(
    db: Database, user: Database, spec_worker: str, identity: str
) -> None:
    await user.rows(
        "create function start_it() returns text language sql security definer"
        " as $$ select df.start('select current_user::text as who') $$"
    )
    await db.rows("create role spec_caller login")
    caller = await db.connect_as("spec_caller")

    instance = await caller.scalar("select start_it()")
    async with worker_here(spec_worker, identity=identity):
        assert await user.completed_rows(instance) == [{"who": "spec_user"}]

    await caller.close()
    await db.rows("drop role spec_caller")


async def test_the_settings_of_a_role_hold_for_its_steps(
    db: Database, user: Database, spec_worker: str
) -> None:
    name = await db.scalar("select current_database()")
    await db.rows("alter role spec_user set search_path = 'My Own', public")
    await db.rows("alter role spec_user set work_mem = '7MB'")
    await db.rows(f"alter role spec_user in database {name} set work_mem = '8MB'")
    await db.rows("alter role spec_user set app.path = 'c:\\dir x'")
    await db.rows("alter role spec_user set log_min_duration_statement = 0")
    await db.rows("alter role spec_user set statement_timeout = '200ms'")
    await db.rows("alter role spec_worker set statement_timeout = '1h'")
    shown = "current_setting('search_path') as path, current_setting('app.path') as custom"
    settings = await user.start_sql(f"select {shown}, current_setting('work_mem') as memory")
    slow = await user.start("'select 1' ~> 'select pg_sleep(60)'")

    async with worker_here(spec_worker, identity="set_role"):
        assert await user.completed_rows(settings) == [
            {"path": '"My Own", public', "custom": "c:\\dir x", "memory": "8MB"}
        ]
        assert await user.wait(slow) == "failed"

    assert "statement timeout" in await user.output(slow)


async def test_a_role_that_the_worker_may_not_take_has_its_steps_fail(
    db: Database, user: Database, spec_worker: str
) -> None:
    async with worker_here(spec_worker, identity="set_role"):
        allowed = await user.start_sql("select 1 as n")
        assert await user.completed_rows(allowed) == [{"n": 1}]  # its session is kept
        await db.rows("revoke spec_user from spec_worker")
        refused = await user.start_sql("select 1 as n")
        assert await user.wait(refused) == "failed"

    assert "' as 'spec_user'. Error: permission denied to set role" in await user.output(refused)


async def test_a_role_that_may_not_log_in_has_its_steps_fail(
    db: Database, user: Database, spec_worker: str
) -> None:
    instance = await user.start_sql("select 1 as n")
    await db.rows("alter role spec_user nologin")

    async with worker_here(spec_worker, identity="set_role"):
        assert await db.wait(instance) == "failed"

    assert "is not permitted to log in" in await db.output(instance)


async def test_superusers_have_no_steps_run(db: Database, spec_worker: str) -> None:
    instance = await db.start("'select 1'")

    async with worker_here(spec_worker, identity="set_role"):
        assert await db.wait(instance) == "failed"

    assert 'role "postgres" is a superuser' in await db.output(instance)


async def test_a_renamed_role_goes_on_and_its_old_name_is_somebody_elses(
    db: Database, user: Database, spec_worker: str
) -> None:
    who = "select current_user::text as who, current_user::regrole::oid::int as oid"
    async with worker_here(spec_worker, identity="set_role", max_user_connections=1):
        (before,) = await user.completed_rows(await user.start_sql(who))
        await db.rows("alter role spec_user rename to spec_renamed")
        await db.rows("create role spec_user login")
        await db.rows("select df.grant_usage('spec_user')")
        await db.rows("grant spec_user to spec_worker")
        namesake = await db.connect_as("spec_user")
        try:
            (theirs,) = await namesake.completed_rows(await namesake.start_sql(who))
            (after,) = await user.completed_rows(await user.start_sql(who))
        finally:
            await namesake.close()
            await db.rows("drop owned by spec_user")
            await db.rows("drop role spec_user")
            await db.rows("alter role spec_renamed rename to spec_user")

    assert (before["who"], theirs["who"], after["who"]) == (
        "spec_user",
        "spec_user",
        "spec_renamed",
    )
    assert before["oid"] == after["oid"] != theirs["oid"]
