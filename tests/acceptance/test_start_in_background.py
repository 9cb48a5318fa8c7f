"""With the library preloaded, transaction_mode => 'new' needs no dblink, and behaves the same."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import pytest

from support.database import Database
from support.launcher import LaunchedServer, build_library, launched
from support.waiting import until

START = "select df.start(%s, %s, null, 'new')"


@pytest.fixture(scope="module")
def server() -> Iterator[LaunchedServer]:
    """A server with the library preloaded, and no worker."""
    with (
        tempfile.TemporaryDirectory(prefix="pg_durable_library_") as built,
        tempfile.TemporaryDirectory(prefix="pg_durable_background_") as folder,
        launched(
            Path(folder),
            build_library(Path(built)),
            pg_durable__worker_command="",
            pg_durable__max_new_transaction_starts="1",
            pg_durable__new_transaction_start_timeout="1",
            max_worker_processes="3",
        ) as server,
    ):
        yield server


@pytest.fixture
async def admin(server: LaunchedServer) -> AsyncIterator[Database]:
    """A superuser's session; the instances are gone and the role is as before when it ends."""
    session = await server.connect()
    await session.rows('drop role if exists "o\'starter"')
    await session.rows('create role "o\'starter" login')
    await session.rows("select df.grant_usage('o''starter')")
    yield session
    await session.rows("delete from df.instances")
    await session.rows('drop owned by "o\'starter"')
    await session.rows('drop role "o\'starter"')
    await session.close()


@pytest.fixture
async def starter(admin: Database) -> AsyncIterator[Database]:
    """A session of an ordinary role that may start workflows."""
    session = await admin.connect_as("o'starter")
    yield session
    await session.close()


async def refused(session: Database, query: str, *params: object) -> psycopg.errors.Diagnostic:
    """What an error says."""
    with pytest.raises(psycopg.Error) as caught:
        await session.rows(query, *params)
    return caught.value.diag


@asynccontextmanager
async def instances_locked(admin: Database) -> AsyncIterator[None]:
    """Nobody can start anything meanwhile."""
    holder = await admin.connect_as("postgres")
    await holder.rows("begin")
    await holder.rows("lock df.instances")
    try:
        yield
    finally:
        await holder.close()


async def until_waiting_for_locks(admin: Database, number: int) -> None:
    """Wait until so many starts wait."""

    async def waiting() -> object:
        return await admin.scalar(
            "select count(*) = %s from pg_stat_activity where wait_event_type = 'Lock'"
            " and application_name = 'pg_durable:backend:new-transaction'",
            number,
        )

    await until(waiting)


async def until_none_starts(admin: Database) -> None:
    """Wait until no background worker is at it."""

    async def none() -> object:
        return await admin.scalar(
            "select count(*) = 0 from pg_stat_activity where backend_type = 'pg_durable start'"
        )

    await until(none)


async def instances(admin: Database) -> list[tuple[object, ...]]:
    """What has been started, by whom."""
    return await admin.rows("select label, submitted_by::text from df.instances order by label")


async def test_a_start_survives_a_rollback_of_its_caller(
    admin: Database, starter: Database
) -> None:
    await starter.rows("select df.setvar('v', 'committed')")
    await starter.rows("begin")
    await starter.rows("select df.setvar('v', 'open')")

    started = await starter.scalar(START, "select '{v}' \\ ", "it's \\ new ⌘")
    await starter.rows("rollback")

    assert await instances(admin) == [("it's \\ new ⌘", '"o\'starter"')]
    assert await admin.row(
        "select n.query, i.vars->>'v' from df.instances i"
        " join df.nodes n on n.instance_id = i.id where i.id = %s",
        started,
    ) == ("select '{v}' \\ ", "committed")


async def test_it_starts_in_the_name_of_the_effective_role(admin: Database) -> None:
    await admin.rows('set role "o\'starter"')
    await admin.scalar(START, "select 1", "as the role")
    await admin.rows("reset role")

    await admin.scalar(START, "select 1", None)

    assert await instances(admin) == [("as the role", '"o\'starter"'), (None, "postgres")]


async def test_a_large_graph_gets_there_whole(admin: Database, starter: Database) -> None:
    statement = f"select '{'x' * 3_000_000}'"

    started = await starter.scalar(START, statement, None)

    assert (
        await admin.scalar("select query from df.nodes where instance_id = %s", started)
        == statement
    )


async def test_errors_of_the_other_session_keep_their_sqlstate(starter: Database) -> None:
    said = await refused(starter, START, '{"node_type":"FOO"}', None)

    assert said.sqlstate == "WF001"
    assert said.message_primary is not None
    assert said.message_primary.startswith(
        "df.start() on new transaction failed: error returned from database: "
        "Invalid durable function: Unknown node_type 'FOO'."
    )
    assert said.message_detail == "Nothing was started."


async def test_an_error_gets_there_whatever_the_role_wants_to_be_logged(
    admin: Database, starter: Database
) -> None:
    await admin.rows('alter role "o\'starter" set log_min_messages = panic')

    said = await refused(starter, START, '{"node_type":"FOO"}', None)

    assert said.sqlstate == "WF001"


async def test_a_huge_message_is_cut_between_characters(starter: Database) -> None:
    said = await refused(starter, START, '{"node_type":"%s"}' % ("⌘" * 100_000), None)

    assert said.sqlstate == "WF001"
    assert said.message_primary is not None
    assert said.message_primary.rstrip("⌘").endswith("Unknown node_type '")
    assert 5_000 < said.message_primary.count("⌘") < 16_384 / 3


async def test_the_settings_of_the_role_count_as_in_any_session_of_its(
    admin: Database, starter: Database
) -> None:
    await admin.rows('alter role "o\'starter" set default_transaction_read_only = on')

    said = await refused(starter, START, "select 1", None)

    assert (said.sqlstate, said.message_primary) == (
        "25006",
        "df.start() on new transaction failed: error returned from database: "
        "cannot execute INSERT in a read-only transaction",
    )


async def test_a_role_that_cannot_connect_cannot_start(admin: Database, starter: Database) -> None:
    await admin.rows("revoke connect on database postgres from public")

    said = await refused(starter, START, "select 1", None)

    await admin.rows("grant connect on database postgres to public")
    assert (said.sqlstate, said.message_primary) == (
        "WF010",
        "Failed to connect to database 'postgres' as 'o'starter'. "
        'Error: permission denied for database "postgres"',
    )


async def test_a_caller_that_is_cancelled_leaves_nothing_started(
    admin: Database, starter: Database
) -> None:
    await starter.rows("set statement_timeout = '300ms'")

    async with instances_locked(admin):
        said = await refused(starter, START, "select 1", "cancelled")

    await until_none_starts(admin)
    assert said.sqlstate == "57014"
    assert await instances(admin) == []
    assert await admin.scalar("select count(*) from pg_locks where locktype = 'advisory'") == 0


async def test_a_caller_whose_session_is_ended_leaves_nothing_started(
    admin: Database, starter: Database
) -> None:
    async with instances_locked(admin):
        start = asyncio.create_task(refused(starter, START, "select 1", "ended"))
        await until_waiting_for_locks(admin, 1)
        await admin.rows(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where usename = 'o''starter' and backend_type = 'client backend'"
        )
        await start

    await until_none_starts(admin)
    assert await instances(admin) == []


async def test_few_start_at_a_time(admin: Database, starter: Database) -> None:
    await admin.rows("select pg_advisory_lock(1346982470, 0)")

    said = await refused(starter, START, "select 1", None)

    await admin.rows("select pg_advisory_unlock_all()")
    assert said.sqlstate == "WF007"
    assert said.message_primary is not None
    assert "launch limit reached (max_new_transaction_starts=1)" in said.message_primary
    assert await starter.scalar(START, "select 1", None)


async def test_without_a_free_background_worker_the_way_out_is_told(
    admin: Database, starter: Database
) -> None:
    others = [await admin.connect_as("postgres") for _ in range(2)]

    async with instances_locked(admin):
        starts = [
            asyncio.create_task(
                other.rows(
                    "select df._start_in_background('postgres'::regrole,"
                    " $$set application_name = 'pg_durable:backend:new-transaction';"
                    " select df.start('select 1')$$)"
                )
            )
            for other in others
        ]
        await until_waiting_for_locks(admin, 2)
        said = await refused(starter, START, "select 1", None)
    await asyncio.gather(*starts)
    for other in others:
        await other.close()

    assert said.sqlstate == "WF007"
    assert said.message_primary is not None
    assert "all max_worker_processes=3 are taken" in said.message_primary


async def test_nobody_but_a_superuser_calls_what_acts_for_any_role(starter: Database) -> None:
    said = await refused(starter, "select df._start_in_background('postgres'::regrole, 'select 1')")

    assert said.sqlstate == "42501"
