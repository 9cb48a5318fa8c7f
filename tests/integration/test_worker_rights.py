"""A worker's role needs a login and df.grant_worker, and can do no more than work with that."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest
from psycopg import errors
from psycopg.conninfo import make_conninfo

import pg_durable
from pg_durable.schema import install
from support.database import Database
from support.http_server import http_server
from support.waiting import until
from support.workers import worker_here

# What the sessions of steps call, and what gives away nothing.
FOR_EVERYBODY = {"_checkpoint", "_checkpoint_alike", "_end_step", "_to_json", "_lock_class"}


@pytest.fixture
async def spec_worker(db: Database) -> AsyncIterator[str]:
    """The connection string of a role with nothing but LOGIN and df.grant_worker."""
    await db.rows("create role spec_worker login")
    await db.rows("select df.grant_worker('spec_worker')")
    yield make_conninfo(db.conninfo, user="spec_worker")
    await db.rows("drop owned by spec_worker")
    await db.rows("drop role spec_worker")


async def test_a_worker_with_the_least_rights_does_all_that_workers_do(
    db: Database, user: Database, spec_worker: str
) -> None:
    await user.rows("create table t (n int)")
    plain = await user.start("'insert into t values (1) returning n' |=> 'r' ~> 'select $r as n'")
    looping = await user.start(
        "df.loop(df.sleep(interval '300 ms') ~> 'insert into t values (2)',"
        " 'select count(*) < 3 from t')"
    )
    racing = await user.start("df.wait_for_signal('go', 600) | 'select pg_sleep(600)'")
    cancelled = await user.start("'select pg_sleep(600)'")
    failing = await user.start("'select 1/0'")

    async with worker_here(spec_worker):
        assert await user.completed_rows(plain) == [{"n": 1}]
        assert await user.wait(looping) == "completed"
        assert await user.wait(failing) == "failed"
        await until(lambda: db.active("pg_sleep(600)"))
        await user.rows("select df.cancel(%s), df.signal(%s, 'go')", cancelled, racing)
        assert await user.wait(racing) == "completed"
        assert await user.wait(cancelled) == "cancelled"


async def test_a_worker_with_the_least_rights_sends_requests_with_secrets(
    db: Database, user: Database, spec_worker: str
) -> None:
    await db.rows("select df.grant_usage('spec_user', include_http => true)")
    await user.rows("select df.set_secret('token', 'tok-4711')")

    async with http_server() as web, worker_here(spec_worker, http_policy="127.0.0.1"):
        instance = await user.start(f"df.http('{web.url('/echo')}', body => df.secret('token'))")
        assert await user.wait(instance) == "completed", await user.output(instance)

    assert [request.body for request in web.received] == [b"tok-4711"]


async def test_a_worker_with_the_least_rights_takes_over_and_sweeps(
    db: Database, user: Database, spec_worker: str
) -> None:
    instance = await user.start("'select 1 as n'")
    await db.rows(
        "update df.instances set worker = 99 where id = %s",
        instance,
    )
    await db.rows("insert into df._signals (instance_id, name, data) values ('00000000', 'x', '1')")

    async with worker_here(spec_worker):
        assert await user.completed_rows(instance) == [{"n": 1}]
    as_worker = await Database.connect(spec_worker)
    assert await as_worker.rows("select df._sweep()") is not None
    old = "select removed from df._remove_ended('completed', 30, null, null, 10)"
    assert await as_worker.scalar(old) == 0
    await as_worker.close()

    assert await db.scalar("select count(*) from df._signals") == 0


async def test_a_workers_role_reads_and_writes_no_table(db: Database, spec_worker: str) -> None:
    held = await db.rows(
        "select c.oid::regclass::text from pg_class c"
        " where c.relnamespace = 'df'::regnamespace and c.relkind in ('r', 'v')"
        " and (has_table_privilege('spec_worker', c.oid, 'delete, truncate')"
        " or has_any_column_privilege('spec_worker', c.oid, 'select, insert, update'))"
    )

    assert held == [("df._schema",)]
    as_worker = await Database.connect(spec_worker)
    for statement in (
        "select * from df.instances",
        "select * from df.nodes",
        "select * from df.vars",
        "select * from df._secrets",
        "update df.instances set worker = null",
        "delete from df._signals",
        "select df.start('select 1')",
        "select df.grant_worker('spec_worker')",
        "select df.grant_usage('spec_worker')",
        "select df._record('00000000', '{}', '{}', '{}', '{}', '{}')",
    ):
        with pytest.raises(errors.InsufficientPrivilege):
            await as_worker.rows(statement)
    await as_worker.close()


async def test_all_that_a_worker_calls_is_for_workers_alone(db: Database) -> None:
    store = Path(pg_durable.__file__).with_name("store.py").read_text()
    called = set(re.findall(r"\bdf\.(_\w+)\(", store)) - FOR_EVERYBODY

    theirs = await db.scalar("select df._worker_functions()::text[]")

    assert called | {"_worker_badge"} == set(theirs)
    open_to_all = await db.rows(
        "select p.proname from pg_proc p where p.pronamespace = 'df'::regnamespace"
        " and p.proname = any (df._worker_functions())"
        " and (has_function_privilege('public', p.oid, 'execute') or not p.prosecdef)"
    )
    assert open_to_all == []


async def test_the_rights_of_a_worker_can_be_taken_back(
    db: Database, user: Database, spec_worker: str
) -> None:
    await db.rows("select df.grant_worker('spec_user')")
    await db.rows("select df.revoke_worker('spec_user'), df.revoke_worker('spec_worker')")

    assert await user.start("'select 1'")  # it may use df, as before
    with pytest.raises(errors.InsufficientPrivilege):
        await user.rows("select df._sweep()")
    as_worker = await Database.connect(spec_worker)
    with pytest.raises(errors.InsufficientPrivilege, match="schema df"):
        await as_worker.rows("select df._sweep()")
    await as_worker.close()


async def test_a_worker_whose_use_of_df_is_revoked_remains_a_worker(
    db: Database, spec_worker: str
) -> None:
    await db.rows("select df.grant_usage('spec_worker')")
    await db.rows("select df.revoke_usage('spec_worker')")

    as_worker = await Database.connect(spec_worker)
    with pytest.raises(errors.InsufficientPrivilege):
        await as_worker.start("'select 1'")
    assert await as_worker.rows("select df._sweep()") is not None
    await as_worker.close()


@pytest.mark.parametrize("name", ["public", "no such role"])
async def test_only_one_role_that_exists_can_be_made_a_worker(db: Database, name: str) -> None:
    with pytest.raises(psycopg.Error, match=r"everybody|does not exist"):
        await db.rows("select df.grant_worker(%s)", name)


async def test_an_upgrade_gives_workers_what_it_adds(db: Database, spec_worker: str) -> None:
    await db.rows("drop function df._sweep(int)")
    await db.rows("revoke select on df._schema from spec_worker")

    install(db.conninfo)

    as_worker = await Database.connect(spec_worker)
    assert await as_worker.rows("select df._sweep()") is not None
    assert await as_worker.scalar("select count(*) from df._schema") == 1
    await as_worker.close()


async def test_a_user_cannot_record_a_step_of_another_by_any_role_it_may_take(
    db: Database, user: Database
) -> None:
    await db.rows("create role spec_other login")
    await db.rows("select df.grant_usage('spec_other')")
    await db.rows("grant spec_other to spec_user")
    other = await db.connect_as("spec_other")
    instance = await other.start("'select 1'")
    await other.close()
    await db.rows("update df.instances set worker = 1, due_at = null, status = 'running'")
    record = (
        f"select df._checkpoint('{instance}', 1, array(select id::text from df.nodes), '{{1}}',"
        " '{completed}', '{1}', array[null], null, null)"
    )

    for role in ("none", "spec_other"):
        await user.rows(f"set role {role}")
        with pytest.raises(psycopg.Error, match="the claim on this instance is gone"):
            await user.rows(record)
    await user.rows("reset role")

    await db.rows("drop owned by spec_other")
    await db.rows("drop role spec_other")
