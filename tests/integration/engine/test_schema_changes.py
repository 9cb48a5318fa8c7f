"""The schema is dropped, created anew or upgraded under a running worker, or fits no more."""

import asyncio
import logging
from contextlib import suppress
from unittest import mock

import psycopg
import pytest
from psycopg import sql

from pg_durable.embedded import EmbeddedServer
from pg_durable.engine.worker import Worker
from pg_durable.errors import SchemaMismatch, SchemaNotReady
from pg_durable.schema import check_version, install
from pg_durable.settings import Settings
from pg_durable.store import Store
from pg_durable.wire import Wire
from pg_durable.wire.dsn import worker_dsn
from support.database import Database
from support.waiting import until
from support.workers import worker_here

# What an upgrade might do: another signature, and the number of a migration yet unknown.
UPGRADE = (
    "alter function df._checkpoint_alike rename to _checkpoint_of_the_future",
    "alter function df._save rename to _save_of_the_future",
    "update df._schema set migration = migration + 1, version = '99.0.0'",
)
DOWNGRADE = (
    "alter function df._checkpoint_of_the_future rename to _checkpoint_alike",
    "alter function df._save_of_the_future rename to _save",
    "update df._schema set migration = migration - 1",
)


async def in_one_transaction(db: Database, *statements: str) -> None:
    async with db.session.transaction():
        for statement in statements:
            await db.rows(statement)


async def running(db: Database, text: str) -> None:
    """Wait until a statement that contains the text is running."""

    async def active() -> int:
        return await db.active(text)

    await until(active)


def drop(session: psycopg.Connection) -> None:
    """Drop the schema; again, as anybody would, where that and a claim were a deadlock."""
    while True:
        try:
            session.execute("drop schema df cascade")
            return
        except psycopg.errors.DeadlockDetected:
            session.rollback()


def create_anew(database: str) -> None:
    """Drop and install the schema in one transaction: nobody can see it absent."""
    session = psycopg.connect(database)
    drop(session)
    with mock.patch.object(psycopg, "connect", return_value=session):
        install(database)


def told(caplog: pytest.LogCaptureFixture, text: str) -> list[str]:
    return [message for message in caplog.messages if text in message]


async def test_a_worker_waits_while_the_schema_is_gone_and_begins_afresh(
    db: Database, database: str, worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    await db.rows("create table t (i int)")
    await db.rows("select df.start('insert into t select 1 from pg_sleep(0.5)')")
    await running(db, "insert into t")

    with psycopg.connect(database, autocommit=True) as session:
        await asyncio.to_thread(drop, session)

    async def noticed() -> list[str]:
        return told(caplog, "has no df schema")

    await until(noticed, within=10)
    await asyncio.to_thread(install, database)
    status = await db.wait(await db.start("'insert into t values (2)'"))

    assert status == "completed"
    assert await db.rows("select i from t") == [(2,)]
    assert len(told(caplog, "has no df schema")) == 1
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_a_schema_dropped_and_created_between_two_looks_is_noticed(
    db: Database, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with worker_here(database, poll_interval=600, heartbeat_interval=1):
        await db.wait(await db.start("'select 1'"))
        await db.rows("create table t (i int)")

        create_anew(database)
        instances = [await db.start("'insert into t values (1)'") for _ in range(5)]
        for instance in instances:
            assert await db.wait(instance) == "completed"

        workers = await db.rows("select worker from df._worker_epoch")
        assert len(workers) == 1
    assert len(told(caplog, "beginning afresh: The df schema was dropped and created anew")) == 1
    assert await db.scalar("select count(*) from t") == 5


async def test_nothing_is_claimed_for_a_session_with_another_schema(
    db: Database, database: str
) -> None:
    await db.start("'select 1'")
    wire = await Wire.connect(worker_dsn(database, "test"))
    oid, migration = await check_version(wire)

    for other in ((oid + 1, migration), (oid, migration - 1)):
        store = Store(wire, other)
        assert (await store.claim(1, 10)).instances == []
    assert await db.scalar("select status from df.instances") == "pending"
    assert len((await Store(wire, (oid, migration)).claim(1, 10)).instances) == 1
    wire.close()


async def test_a_worker_ends_when_the_schema_becomes_newer_and_gives_back_what_it_was_at(
    db: Database, database: str
) -> None:
    await db.rows("create table t (i int)")
    task = asyncio.create_task(Worker(Settings.load({}, dsn=database)).run())
    instance = await db.start("'insert into t select 1 from pg_sleep(1)' ~> 'select 2'")
    failing = await db.start("'select 1 / length(pg_sleep(1)::text)'")
    await running(db, "insert into t")

    await in_one_transaction(db, *UPGRADE)
    with pytest.raises(SchemaMismatch, match=r"from pg_durable 99\.0\.0 .* newer than this"):
        await asyncio.wait_for(task, 15)

    assert await db.scalar("select count(*) from t") == 0
    assert await db.rows("select distinct status, attempts from df.instances") == [("pending", 0)]
    await in_one_transaction(db, *DOWNGRADE)
    async with worker_here(database):
        assert await db.wait(instance) == "completed"
        assert await db.wait(failing) == "failed"
    assert await db.scalar("select count(*) from t") == 1


async def test_a_request_that_a_newer_schema_does_not_permit_fails_no_step(
    db: Database, database: str
) -> None:
    settings = Settings.load({}, dsn=database, park_after=60, http_policy="127.0.0.1")
    task = asyncio.create_task(Worker(settings).run())
    instance = await db.start("df.sleep(2) ~> df.http('http://127.0.0.1:1/')")

    async def asleep() -> object:
        return await db.scalar("select exists (select from df.nodes where due_at is not null)")

    await until(asleep)
    await in_one_transaction(
        db,
        "alter function df._permit rename to _permit_of_the_future",
        "update df._schema set migration = migration + 1, version = '99.0.0'",
    )

    with pytest.raises(SchemaMismatch):
        await asyncio.wait_for(task, 15)
    assert await db.scalar("select attempts from df.instances") == 0
    assert await db.status(instance) == "running"


async def test_a_newer_schema_whose_calls_still_fit_is_noticed_by_an_idle_worker(
    db: Database, database: str
) -> None:
    task = asyncio.create_task(
        Worker(Settings.load({}, dsn=database, heartbeat_interval=0.2)).run()
    )
    await db.wait(await db.start("'select 1'"))

    await db.rows("update df._schema set migration = migration + 1")
    instance = await db.start("'select 2'")

    with pytest.raises(SchemaMismatch):
        await asyncio.wait_for(task, 15)
    assert await db.status(instance) == "pending"


async def test_a_worker_refuses_an_older_schema_or_waits_until_it_is_upgraded(
    db: Database, database: str
) -> None:
    await db.rows("update df._schema set migration = migration - 1")
    settings = Settings.load({}, dsn=database)

    with pytest.raises(SchemaNotReady, match="pg-durable install"):
        await Worker(settings).run(wait_for_schema=False)
    async with worker_here(database):
        instance = await db.start("'select 1'")
        await db.rows("update df._schema set migration = migration + 1")
        assert await db.wait(instance) == "completed"


async def test_a_call_that_fails_though_the_schema_fits_is_tried_again(
    db: Database, worker: Worker
) -> None:
    await db.rows("create table t (i int)")
    await db.rows("alter function df._checkpoint_alike rename to _mislaid")
    instance = await db.start("'insert into t values (1)'")

    async def given_back() -> object:
        return await db.scalar("select attempts > 1 from df.instances")

    await until(given_back)
    await db.rows("alter function df._mislaid rename to _checkpoint_alike")

    assert await db.wait(instance) == "completed"
    assert await db.scalar("select count(*) from t") == 1


async def test_a_database_that_is_renamed_is_waited_for(
    server: EmbeddedServer, db: Database, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    name = sql.Identifier(db.session.info.dbname)
    away = sql.Identifier(f"{db.session.info.dbname}_away")
    instance = await db.start("df.sleep(1) ~> 'select 1 as v'")
    async with worker_here(database):
        await db.close()
        admin = await Database.connect(server.dsn())
        await admin.session.execute(
            sql.SQL("alter database {} with allow_connections false").format(name)
        )
        await admin.rows(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s",
            database.split("dbname=")[1].split()[0],
        )

        async def renamed() -> bool:
            with suppress(psycopg.errors.ObjectInUse):
                await admin.session.execute(
                    sql.SQL("alter database {} rename to {}").format(name, away)
                )
                return True
            return False

        await until(renamed)

        async def noticed() -> list[str]:
            return told(caplog, "does not exist")

        await until(noticed)
        await admin.session.execute(sql.SQL("alter database {} rename to {}").format(away, name))
        await admin.session.execute(
            sql.SQL("alter database {} with allow_connections true").format(name)
        )
        again = await Database.connect(database)
        assert await again.completed_rows(instance) == [{"v": 1}]
        await again.close()
        await admin.close()
