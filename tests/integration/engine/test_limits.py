"""Limits on sessions: they make steps wait, and neither fail nor block other roles."""

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from pg_durable.embedded import EmbeddedServer
from pg_durable.engine.worker import Worker
from pg_durable.schema import install
from support.database import FAST, Database
from support.waiting import until
from support.workers import worker_here

# Sessions for all but superusers, who have two more: a worker's own are three.
TINY = {
    **FAST,
    "max_connections": "7",
    "superuser_reserved_connections": "2",
    "max_wal_senders": "0",
}
PATIENT = {"lane_idle": 3600, "lane_max_age": 3600}


@asynccontextmanager
async def role(db: Database, name: str) -> AsyncIterator[Database]:
    """A session of a new role that may use df."""
    await db.rows(f"create role {name} login")
    await db.rows(f"select df.grant_usage('{name}')")
    session = await db.connect_as(name)
    try:
        yield session
    finally:
        await session.close()
        await db.rows(f"drop owned by {name}")
        await db.rows(f"drop role {name}")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """A server with few connections."""
    folder: Path = tmp_path_factory.mktemp("tiny")
    with EmbeddedServer(folder, settings=TINY) as server:
        install(server.dsn())
        yield server


@pytest.fixture
async def crowded(tiny: EmbeddedServer) -> AsyncIterator[Database]:
    """A session with that server, and roles `a` and `b` that may use df."""
    db = await Database.connect(tiny.dsn())
    for name in ("a", "b"):
        await db.rows(f"create role {name} login")
        await db.rows(f"select df.grant_usage('{name}')")
    yield db
    await db.rows("alter database postgres connection limit -1")
    for name in ("a", "b"):
        await db.rows(f"drop owned by {name}")
        await db.rows(f"drop role {name}")
    await db.rows("select df._remove_ended(s, 0, null, null, 1000)"
                  " from unnest('{completed,failed,cancelled}'::text[]) s")  # fmt: skip
    await db.close()


async def start_as(db: Database, name: str, count: int, statement: str = "select 1") -> None:
    """Start workflows of a role, without a session of its own."""
    await db.rows(f"set role {name}")
    await db.rows("select df.start(%s) from generate_series(1, %s)", statement, count)
    await db.rows("reset role")


async def outcomes(db: Database) -> list[Any]:
    """How many instances ended how, and whether any is being tried again."""
    return await db.rows(
        "select submitted_by::text, status::text, max(attempts), count(*) from df.instances"
        " group by 1, 2 order by 1, 2"
    )


async def test_a_server_without_free_connections_slows_steps_down_and_fails_none(
    crowded: Database, tiny: EmbeddedServer, caplog: pytest.LogCaptureFixture
) -> None:
    await start_as(crowded, "a", 30, "select pg_sleep(0.02)")
    await start_as(crowded, "b", 30, "select pg_sleep(0.02)")

    async with worker_here(tiny.dsn(), max_attempts=1):
        await crowded.wait_all()

    assert await outcomes(crowded) == [("a", "completed", 0, 30), ("b", "completed", 0, 30)]
    assert "wait until the server has a session" in caplog.text


async def test_unused_sessions_of_one_role_make_room_for_another(
    crowded: Database, tiny: EmbeddedServer
) -> None:
    async with worker_here(tiny.dsn(), **PATIENT):
        await start_as(crowded, "a", 10, "select pg_sleep(0.1)")
        await crowded.wait_all()

        await start_as(crowded, "b", 1)
        await crowded.wait_all()

    assert await outcomes(crowded) == [("a", "completed", 0, 10), ("b", "completed", 0, 1)]


@pytest.mark.parametrize(
    "limit",
    ["alter role a connection limit 1", "alter database postgres connection limit 5"],
)
async def test_connection_limits_of_the_server_slow_steps_down_and_fail_none(
    crowded: Database, tiny: EmbeddedServer, limit: str
) -> None:
    await crowded.rows(limit)
    await start_as(crowded, "a", 20, "select pg_sleep(0.01)")
    await start_as(crowded, "b", 20)

    async with worker_here(tiny.dsn(), max_attempts=1):
        await crowded.wait_all()

    assert await outcomes(crowded) == [("a", "completed", 0, 20), ("b", "completed", 0, 20)]


async def test_a_worker_waits_for_connections_of_its_own(
    crowded: Database, tiny: EmbeddedServer
) -> None:
    taken = [await Database.connect(tiny.dsn()) for _ in range(5)]
    await start_as(crowded, "a", 3)

    async with worker_here(tiny.dsn()):
        own = "select count(*) from pg_stat_activity where application_name like 'pg_durable:%'"
        await until(lambda: crowded.scalar(own))  # it has one, and needs three
        for session in taken:
            await session.close()
        await crowded.wait_all()

    assert await outcomes(crowded) == [("a", "completed", 0, 3)]


async def test_a_step_fails_for_want_of_a_session_where_the_setting_says_so(
    db: Database, database: str
) -> None:
    async with worker_here(database, max_user_connections=1, execution_acquire_timeout=1):
        slow = await db.start("'select pg_sleep(3600)'")
        await until(lambda: db.active("pg_sleep(3600)"))
        starved = await db.start("'select 1'")
        status = await db.wait(starved)
        await db.rows("select df.cancel(%s)", slow)

    assert status == "failed"
    assert await db.output(starved) == (
        "pg_durable: connection limit reached (max_user_connections=1). Timed out after 1s"
        " waiting for an available execution slot."
    )


async def test_a_queue_of_one_role_does_not_keep_anothers_instance_waiting(
    db: Database, database: str
) -> None:
    async with role(db, "spec_many") as many, role(db, "spec_few") as few:
        await many.rows("select count(df.start('select 1')) from generate_series(1, 2000)")
        mine = await few.start_sql("select 1")

        async with worker_here(database, max_user_connections=2):
            await db.wait_all()
        before = await db.scalar(
            "select count(*) from df.instances"
            " where completed_at < (select completed_at from df.instances where id = %s)",
            mine,
        )

    assert before < 200


async def test_more_roles_than_sessions_log_in_once_for_several_steps(
    db: Database, database: str
) -> None:
    await db.rows("create table sessions (pid int); grant insert on sessions to public")
    step = "insert into sessions values (pg_backend_pid())"
    async with AsyncExitStack() as stack:
        for number in range(12):
            tenant = await stack.enter_async_context(role(db, f"spec_tenant_{number}"))
            await tenant.rows("select df.start(%s) from generate_series(1, 8)", step)

        async with worker_here(database, max_user_connections=2, time_slice=5):
            await db.wait_all()
        steps = await db.scalar("select count(*) from sessions")
        sessions = await db.scalar("select count(distinct pid) from sessions")
        await db.rows("drop table sessions")

    assert steps == 96
    assert sessions <= 48


async def test_slow_steps_of_one_role_leave_room_for_what_another_starts(
    db: Database, database: str
) -> None:
    limits = {"max_user_connections": 3, "max_connections_per_role": 2, "claim_ahead": 2}
    held = "select count(*) from df.instances where worker is not null"
    async with role(db, "spec_slow") as slow, role(db, "spec_other") as other:
        await slow.rows("select df.start('select pg_sleep(3600)') from generate_series(1, 20)")

        async with worker_here(database, **limits):

            async def full() -> bool:
                return bool(await db.scalar(held) == 6)

            await until(full)
            statuses = [await other.wait(await other.start_sql("select 1")) for _ in range(10)]
            running = await db.active("pg_sleep(3600)")
            await db.rows("select df.cancel(id) from df.instances where status = 'running'")
            await db.rows("select df.cancel(id) from df.instances where status = 'pending'")

    assert statuses == ["completed"] * 10
    assert running == 2


async def test_a_worker_takes_its_settings_from_the_database_when_it_connects(
    db: Database, worker: Worker
) -> None:
    wide = "'select repeat(''x'', 1000)'"
    first = await db.start(wide)
    assert await db.wait(first) == "completed"
    old = await db.scalar("select max(worker) from df._worker_epoch")
    await db.rows("do $$ begin execute format('alter database %I set pg_durable.max_result_bytes"
                  " = 100', current_database()); end $$")  # fmt: skip

    await db.rows(
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where application_name = 'pg_durable:worker:poll' and datname = current_database()"
    )
    await until(lambda: db.scalar("select count(*) from df._worker_epoch where worker > %s", old))
    second = await db.start(wide)

    assert await db.wait(second) == "failed"
    assert "the limit is 100" in await db.output(second)


async def test_a_setting_that_cannot_be_is_named_and_waited_out(
    db: Database, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    alter = (
        "do $$ begin execute format('alter database %%I set pg_durable.max_user_connections"
        " = %s', current_database()); end $$"
    )
    await db.session.execute((alter % "2000").replace("%%", "%"))
    instance = await db.start("'select 1'")

    async def named() -> bool:
        return "pg_durable.max_user_connections is 2000; it must be from 1 to 1000" in caplog.text

    with caplog.at_level(logging.WARNING):
        async with worker_here(database):
            await until(named)
            await db.session.execute((alter % "20").replace("%%", "%"))
            status = await db.wait(instance)

    assert status == "completed"


async def test_a_workers_own_sessions_are_as_many_as_it_says(db: Database, worker: Worker) -> None:
    await db.wait(await db.start("'select 1'"))

    own = await db.rows(
        "select split_part(application_name, ':', 3), count(*) from pg_stat_activity"
        " where application_name like 'pg_durable:worker:%' and datname = current_database()"
        " and application_name not like '%sql' group by 1 order by 1",
    )

    assert own == [("duroxide", 1), ("management", 1), ("poll", 1)]
