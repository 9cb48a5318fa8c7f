"""The client: what it does and what it raises, on a real database."""

import asyncio

import pytest
from psycopg.conninfo import make_conninfo

from pg_durable.client import Client
from pg_durable.engine.worker import Worker
from pg_durable.errors import (
    InvalidWorkflow,
    NotAllowed,
    NotFound,
    SchemaMismatch,
    ServerUnavailable,
    WaitTimeout,
)
from support.database import Database


async def test_a_workflow_is_started_awaited_and_its_result_read(
    client: Client, worker: Worker
) -> None:
    instance = await client.start("'select 1 as b, 2 as a' ~> 'select 3 as z, 4 as aa'", label="l")

    ended = await client.wait(instance, timeout=30)

    assert (ended.status, ended.label, ended.role, ended.error) == (
        "completed", "l", "postgres", None,
    )  # fmt: skip
    assert await client.result(instance) == '{"rows":[{"z":3,"aa":4}],"row_count":1}'


async def test_an_expression_is_evaluated_and_a_statement_is_taken_as_it_is(
    client: Client,
) -> None:
    expected = {
        "'select 5 % 3' -- a comment": ["select 5 % 3"],
        "  SELECT '%s ~> $1'": ["  SELECT '%s ~> $1'"],
        "with x as (select 1) table x": ["with x as (select 1) table x"],
        "df.sql('select 1') ~> 'select 2'": ["select 1", "select 2"],
        "-- a comment\n/* and another */ select 1": ["-- a comment\n/* and another */ select 1"],
        "-- a comment\n'select 1'": ["select 1"],
        '{"node_type":"SQL","query":"select 1"}': ["select 1"],
        "'selected'": ["selected"],
    }

    started = {workflow: await client.nodes(await client.start(workflow)) for workflow in expected}

    steps = {w: [n.query for n in nodes if n.type == "SQL"] for w, nodes in started.items()}
    assert steps == expected


async def test_what_makes_no_workflow_is_refused(client: Client) -> None:
    for workflow in ("'a' ~>", "df.nope('a')", "null", "'a', 'b'", "", "1); (select 2"):
        with pytest.raises(InvalidWorkflow):
            await client.start(workflow)

    assert not (await client.list_instances()).instances


async def test_a_failed_node_tells_what_the_server_said(client: Client, worker: Worker) -> None:
    instance = await client.start("'select 1' ~> 'select 1/0' ~> 'select 2'")

    ended = await client.wait(instance, timeout=30)

    one, failed, never = (n for n in await client.nodes(instance) if n.type == "SQL")
    assert (ended.status, ended.error) == ("failed", failed.error)
    assert (one.status, failed.status, never.status) == ("completed", "failed", "skipped")
    assert failed.details["sqlstate"] == "22012"
    assert one.error is None
    assert await client.result(instance) is None


async def test_nodes_come_in_the_order_of_the_tree(client: Client) -> None:
    instance = await client.start("'1' ~> ('c' ?> ('2' & '3') !> '4') ~> '5'")

    nodes = await client.nodes(instance)

    assert nodes[0].type == "THEN"
    assert [node.query for node in nodes if node.type == "SQL"] == ["1", "c", "2", "3", "4", "5"]


async def test_lists_are_filtered_and_paged_newest_first(client: Client) -> None:
    started = [await client.start("'select 1'", label=str(n % 2)) for n in range(6)]

    first = await client.list_instances(label="1", limit=2)
    second = await client.list_instances(label="1", limit=2, after=first.next_cursor)

    assert [i.id for i in (*first.instances, *second.instances)] == started[5::-2]
    assert second.next_cursor is None
    assert not (await client.list_instances(status="failed")).instances


async def test_cancelling_tells_whether_it_changed_anything(client: Client) -> None:
    instance = await client.start("df.sleep(1000)")

    assert await client.cancel(instance, "no longer wanted")
    assert not await client.cancel(instance, "again")
    assert (await client.instance(instance)).error == "canceled: no longer wanted"


async def test_a_signal_without_a_name_is_refused(client: Client) -> None:
    instance = await client.start("df.wait_for_signal('go')")

    with pytest.raises(InvalidWorkflow, match="Signal name cannot be empty"):
        await client.signal(instance, "")


async def test_a_failed_instance_tells_the_step_as_it_was_run(
    client: Client, worker: Worker
) -> None:
    instance = await client.start("'select 0 as n' |=> 'zero' ~> ('select 1' & 'select 1/$zero.n')")

    ended = await client.wait(instance, timeout=30)

    assert ended.failure is not None
    failed = {node.id: node for node in await client.nodes(instance)}[ended.failure["node"]]
    assert failed.query == "select 1/$zero.n"
    assert ended.failure["statement"] == failed.details["statement"] == "select 1/0"
    assert (await client.list_instances()).instances[0].failure == ended.failure


async def test_waiting_ends_when_the_time_is_up(client: Client) -> None:
    instance = await client.start("df.sleep(1000)")

    with pytest.raises(WaitTimeout, match=r"still pending after 0\.05 s"):
        await client.wait(instance, timeout=0.05)


async def test_an_unknown_instance_is_not_found(client: Client) -> None:
    calls = [client.instance, client.nodes, client.result, client.wait, client.cancel]

    for call in [*calls, client.explain, client.waits_for]:
        with pytest.raises(NotFound):
            await call("ffffffff")
    with pytest.raises(NotFound):
        await client.signal("ffffffff", "go")


async def test_what_start_would_start_is_explained_without_being_started(client: Client) -> None:
    expected = {
        "'select 1' ~> df.sleep(5)": "SQL: select 1\n→ SLEEP 5s",
        "'a' |=> 'n' -- a comment": "SQL: a |=> 'n'",
        "-- a comment\nselect 1": "SQL: -- a comment\nselect 1",
        "select '%s ~> $1'": "SQL: select '%s ~> $1'",
        '{"node_type":"SQL","query":"select 1"}': "SQL: select 1",
    }

    assert {subject: await client.explain(subject) for subject in expected} == expected
    assert not (await client.list_instances()).instances


async def test_what_cannot_be_explained_raises(client: Client) -> None:
    for subject in ("foo", "df.nope(1)", "'a' ~>", "null", '{"a":1}'):
        with pytest.raises(InvalidWorkflow):
            await client.explain(subject)


async def test_a_role_sees_and_controls_only_its_own(client: Client, db: Database) -> None:
    await db.rows("create role cli_own login")
    try:
        await db.rows("select df.grant_usage('cli_own')")
        of_others = await client.start("df.sleep(1000)")
        async with await Client.connect(make_conninfo(db.conninfo, user="cli_own")) as own:
            mine = await own.start("df.sleep(1000)")

            listed = (await own.list_instances()).instances
            with pytest.raises(NotFound):
                await own.cancel(of_others)

        assert [(i.id, i.role) for i in listed] == [(mine, "cli_own")]
    finally:
        await db.rows("truncate df.instances, df.nodes")
        await db.rows("drop owned by cli_own")
        await db.rows("drop role cli_own")


async def test_missing_privileges_are_told_with_the_way_to_get_them(db: Database) -> None:
    await db.rows("""create role "cli o'none" login""")
    dsn = make_conninfo(db.conninfo, user="cli o'none")
    try:
        with pytest.raises(NotAllowed, match=r"df\.grant_usage\('cli o''none'\)"):
            await Client.connect(dsn)

        await db.rows("""grant usage on schema df to "cli o'none" """)
        async with await Client.connect(dsn) as client:
            with pytest.raises(NotAllowed, match=r"df\.grant_usage\('cli o''none'\)"):
                await client.start("'select 1'")
    finally:
        await db.rows("""drop owned by "cli o'none" """)
        await db.rows("""drop role "cli o'none" """)


async def test_a_schema_without_what_is_asked_of_it_does_not_fit(
    client: Client, db: Database
) -> None:
    await db.rows("alter function df.list_instances(text, int, text, text) rename to gone")

    with pytest.raises(SchemaMismatch, match="pg-durable install"):
        await client.list_instances()


async def test_a_lost_connection_is_told_as_such(client: Client, db: Database) -> None:
    instance = await client.start("df.sleep(1000)")
    waiting = asyncio.create_task(client.wait(instance))

    await db.rows(
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where datname = current_database() and application_name = 'pg_durable:client'"
    )

    with pytest.raises(ServerUnavailable, match="was lost"):
        await waiting
