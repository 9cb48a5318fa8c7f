"""Upgrading a database of the first version, with workflows that are over and some in flight."""

import itertools
from collections.abc import AsyncIterator, Iterator
from importlib import resources

import psycopg
import pytest
from psycopg import sql

from pg_durable import __version__
from pg_durable.embedded import EmbeddedServer
from pg_durable.schema import install
from pg_durable.scripts import migrations
from support.database import Database
from support.workers import worker_here

_numbers = itertools.count(1)

# What df.start of the first version wrote, and what its worker made of it since. The functions of
# that version are not needed: state is rows.
INSTANCES = """
    insert into df.instances
      (id, label, root_node, submitted_by, status, due_at, worker, completed_at, output, vars)
    select id, label, '000000a0', 'postgres', status, due_at, worker, completed_at, output, vars
    from (values
      ('00000001', 'completed', 'completed', null::timestamptz, null::bigint,
       '2026-01-01 00:00:09Z'::timestamptz, null, null::json),
      ('00000002', 'failed', 'failed', null, null, '2026-01-01 00:00:09Z', 'oops', null),
      ('00000003', 'cancelled', 'cancelled', null, null, '2026-01-01 00:00:09Z',
       'canceled: enough', null),
      ('00000004', 'not begun', 'pending', '2026-01-01Z', null, null, null, '{"v": "a"}'),
      ('00000005', 'begun', 'running', '2026-01-01Z', null, null, null, '{"v": "a"}'),
      ('00000006', 'parked', 'running', '2026-01-01Z', null, null, null, null),
      ('00000007', 'held by a dead worker', 'running', null, 1, null, null, null),
      ('00000008', 'race decided', 'running', '2026-01-01Z', null, null, null, null)
    ) as i (id, label, status, due_at, worker, completed_at, output, vars)
"""
NODES = """
    insert into df.nodes
      (instance_id, id, node_type, query, result_name, left_node, right_node, status, result,
       status_details, due_at, stopped, submitted_by)
    select instance_id, id, node_type, query, name, left_node, right_node, status, result,
           details, due_at, stopped, 'postgres'
    from (values
      ('00000001', '000000a0', 'SQL', 'select 1', null, null, null, 'completed',
       '{"rows":[{"b":1,"a":2}],"row_count":1}'::json, null::jsonb, null::timestamptz, false),

      ('00000002', '000000a0', 'THEN', null, null, '000000a1', '000000a2', 'failed',
       '"oops"', '{"sqlstate": "22012"}', null, false),
      ('00000002', '000000a1', 'SQL', 'select 1/0', null, null, null, 'failed',
       '"oops"', '{"sqlstate": "22012"}', null, false),
      ('00000002', '000000a2', 'SQL', 'select 2', null, null, null, 'pending',
       null, null, null, false),

      ('00000003', '000000a0', 'THEN', null, null, '000000a1', '000000a2', 'running',
       null, null, null, true),
      ('00000003', '000000a1', 'SQL', 'select 1', null, null, null, 'completed',
       '1', null, null, false),
      ('00000003', '000000a2', 'SQL', 'select 2', null, null, null, 'pending',
       null, null, null, true),

      ('00000004', '000000a0', 'SQL', 'insert into effects values (''{v}'')', null, null, null,
       'pending', null, null, null, false),

      ('00000005', '000000a0', 'THEN', null, null, '000000a1', '000000a2', 'running',
       null, null, null, false),
      ('00000005', '000000a1', 'SQL', 'insert into effects values (''twice'')', 'one', null, null,
       'completed', '{"rows":[{"x":"kept"}],"row_count":1}', null, null, false),
      ('00000005', '000000a2', 'SQL', 'insert into effects values ($one || ''{v}'')', null, null,
       null, 'pending', null, null, null, false),

      ('00000006', '000000a0', 'SLEEP', '3600', null, null, null,
       'running', null, null, '2026-01-01Z', false),

      ('00000007', '000000a0', 'SQL', 'insert into effects values (''taken over'')', null, null,
       null, 'running', null, null, null, false),

      ('00000008', '000000a0', 'THEN', null, null, '000000a1', '000000a4', 'pending',
       null, null, null, false),
      ('00000008', '000000a1', 'RACE', null, null, '000000a2', '000000a3', 'completed',
       '"won"', null, null, false),
      ('00000008', '000000a2', 'SQL', 'select 1', null, null, null, 'completed',
       '"won"', null, null, false),
      ('00000008', '000000a3', 'SQL', 'insert into effects values (''lost'')', null, null, null,
       'running', null, null, null, true),
      ('00000008', '000000a4', 'SQL', 'insert into effects values (''after'')', null, null, null,
       'pending', null, null, null, false)
    ) as n (instance_id, id, node_type, query, name, left_node, right_node, status, result,
            details, due_at, stopped)
"""


@pytest.fixture
def old_database(server: EmbeddedServer) -> Iterator[str]:
    """A database with the schema of the first migration, workflows in it."""
    name = f"upgrade_{next(_numbers)}"
    with psycopg.connect(server.dsn(), autocommit=True) as admin:
        admin.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
    first = resources.files("pg_durable") / "sql" / "migrations" / "0001_tables.sql"
    with psycopg.connect(server.dsn(name)) as installer:
        installer.execute(first.read_bytes())
        installer.execute("insert into df._schema (migration, version) values (1, '0.1.0')")
        installer.execute(INSTANCES)
        installer.execute(NODES)
        installer.execute("insert into df._worker_epoch (name) values ('dead')")  # worker 1
        installer.execute("create table effects (what text)")
    yield server.dsn(name)
    with psycopg.connect(server.dsn(), autocommit=True) as admin:
        admin.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


@pytest.fixture
async def old(old_database: str) -> AsyncIterator[Database]:
    """A session with it."""
    session = await Database.connect(old_database)
    yield session
    await session.close()


async def test_an_upgrade_leaves_all_rows_as_they_were(old: Database) -> None:
    instances = (
        "select id, label, root_node, status, submitted_by, created_at, updated_at, completed_at,"
        " due_at, worker, attempts, vars::text, output from df.instances order by id"
    )
    nodes = (
        "select instance_id, id, node_type, query, result_name, left_node, right_node, status,"
        " result::text, status_details, created_at, updated_at, generation, due_at"
        " from df.nodes order by instance_id, id"
    )
    stopped = "select instance_id, id from df.nodes where {} order by instance_id, id"
    before = [await old.rows(query) for query in (instances, nodes, stopped.format("stopped"))]

    done = install(old.conninfo)

    assert (done.before, done.after) == ("0.1.0", __version__)
    assert await old.scalar("select migration from df._schema") == migrations()[-1][0]
    never = stopped.format("stopped_through = 2147483647")
    assert [await old.rows(query) for query in (instances, nodes, never)] == before
    assert await old.scalar("select count(*) from df.nodes where stopped_through > 0") == len(
        before[2]
    )


async def test_what_was_over_before_an_upgrade_reads_the_same_after(old: Database) -> None:
    install(old.conninfo)

    assert await old.result("00000001") == {"rows": [{"b": 1, "a": 2}], "row_count": 1}
    assert await old.result("00000002") == {
        "error": {"message": "oops", "sqlstate": "22012", "node": "000000a1"}
    }
    assert await old.result("00000003") is None
    assert await old.rows("select instance_id, status from df.list_instances('cancelled')") == [
        ("00000003", "cancelled")
    ]
    assert await old.rows(
        "select node_id, status, inferred_status from df.instance_nodes('00000003') order by 1"
    ) == [
        ("000000a0", "running", "skipped"),
        ("000000a1", "completed", "completed"),
        ("000000a2", "pending", "skipped"),
    ]
    assert await old.scalar("select df.cancel('00000003')") is not None
    assert await old.output("00000003") == "canceled: enough"


async def test_workflows_in_flight_go_on_after_an_upgrade(old: Database) -> None:
    install(old.conninfo)

    async with worker_here(old.conninfo):
        await old.wait_all()

    assert await old.rows(
        "select label, status from df.instances where id >= '00000004' order by id"
    ) == [
        ("not begun", "completed"),
        ("begun", "completed"),
        ("parked", "completed"),
        ("held by a dead worker", "completed"),
        ("race decided", "completed"),
    ]
    assert await old.rows("select what from effects order by what") == [
        ("a",),
        ("after",),
        ("kepta",),
        ("taken over",),
    ]
    assert await old.result("00000006") == {"slept": True, "seconds": 3600}


async def test_one_in_flight_can_be_cancelled_after_an_upgrade(old: Database) -> None:
    install(old.conninfo)

    await old.rows("select df.cancel('00000005')")
    async with worker_here(old.conninfo):
        await old.wait_all()

    assert await old.status("00000005") == "cancelled"
    assert await old.scalar("select count(*) from effects where what like 'kept%'") == 0


async def test_an_upgrade_gives_what_is_newer_to_roles_with_usage(old: Database) -> None:
    install(old.conninfo)
    newer = (
        "has_table_privilege('upgraded', 'df._executions', 'select{0}'),"
        " has_table_privilege('upgraded', 'df._buffered_signals', 'select{0}'),"
        " has_column_privilege('upgraded', 'df._signal', 'signal_name', 'insert{0}'),"
        " has_column_privilege('upgraded', 'df._start_new', 'id', 'select{0}'),"
        " has_column_privilege('upgraded', 'df._secret', 'value', 'insert{0}'),"
        " has_table_privilege('upgraded', 'df._secret_names', 'select{0}')"
    )
    await old.rows("create role upgraded login; select df.grant_usage('upgraded')")
    await old.rows(
        "revoke all on df._executions, df._buffered_signals, df._secret_names from upgraded;"
        " revoke insert (name, value), select (name) on df._secret from upgraded;"
        " revoke insert (instance_id, signal_name, signal_data) on df._signal from upgraded;"
        " revoke insert (fut, label, database), select (id) on df._start_new from upgraded"
    )
    assert await old.row(f"select {newer.format('')}") == (False,) * 6

    install(old.conninfo)

    try:
        assert await old.row(f"select {newer.format('')}") == (True,) * 6
        passed_on = f"select {newer.format(' with grant option')}"
        assert await old.row(passed_on) == (False,) * 6
    finally:
        await old.rows("drop owned by upgraded; drop role upgraded")


async def test_after_an_upgrade_no_user_can_lock_the_variables(old: Database) -> None:
    await old.rows("create role upgraded login; grant usage on schema df to upgraded")
    await old.rows("grant select, insert, update, delete on df.vars to upgraded")

    install(old.conninfo)

    try:
        await old.rows("select df.grant_usage('upgraded')")
        user = await old.connect_as("upgraded")
        assert await user.scalar("select df.setvar('a', 'b')") == "OK"
        assert await user.scalar("select df.unsetvar('a')") == "OK"
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await user.rows("begin; lock table df.vars in row exclusive mode")
        await user.close()
    finally:
        await old.rows("drop owned by upgraded; drop role upgraded")


async def test_an_upgrade_gives_no_more_to_roles_that_have_less_than_usage(old: Database) -> None:
    await old.rows(
        "create role looker login; grant usage on schema df to looker;"
        " grant select on df.instances to looker with grant option"
    )

    install(old.conninfo)

    try:
        assert await old.row(
            "select has_table_privilege('looker', 'df._executions', 'select with grant option'),"
            " has_column_privilege('looker', 'df._signal', 'signal_name', 'insert'),"
            " has_column_privilege('looker', 'df._start', 'fut', 'insert')"
        ) == (True, False, False)
    finally:
        await old.rows("drop owned by looker; drop role looker")
