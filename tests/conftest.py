"""Fixtures of all tiers: one server a test process, one database a test."""

import itertools
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from pg_durable.embedded import EmbeddedServer, find_binaries
from pg_durable.engine.worker import Worker
from pg_durable.schema import install
from support.database import FAST, Database
from support.extension import empty_database, server_with_extension
from support.workers import kill_what_is_left, worker_here

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def server() -> Iterator[EmbeddedServer]:
    """A PostgreSQL server that lives as long as the test process."""
    with (
        tempfile.TemporaryDirectory(prefix="pg_durable_tests_") as folder,
        EmbeddedServer(Path(folder), settings=FAST) as server,
    ):
        yield server


@pytest.fixture(scope="session")
def psql() -> Path:
    """The real psql."""
    return find_binaries().program("psql")


@pytest.fixture(scope="session")
def template(server: EmbeddedServer) -> str:
    """A database with the schema installed, to be copied."""
    with psycopg.connect(server.dsn(), autocommit=True) as admin:
        admin.execute("create database df_template")
    install(server.dsn("df_template"))
    return "df_template"


@pytest.fixture
def database(server: EmbeddedServer, template: str) -> Iterator[str]:
    """The connection string of a fresh database with the schema, as superuser postgres."""
    name = sql.Identifier(f"test_{next(_numbers)}")
    with psycopg.connect(server.dsn(), autocommit=True) as admin:
        admin.execute(
            sql.SQL("create database {} template {}").format(name, sql.Identifier(template))
        )
    yield server.dsn(name.as_string().strip('"'))
    with psycopg.connect(server.dsn(), autocommit=True) as admin:
        admin.execute(sql.SQL("drop database {} with (force)").format(name))


@pytest.fixture
async def db(database: str) -> AsyncIterator[Database]:
    """A session with a fresh database."""
    session = await Database.connect(database)
    yield session
    await session.close()


@pytest.fixture(scope="session")
def extension_server() -> Iterator[EmbeddedServer]:
    """A server with the extension's files on it, but the launcher."""
    with (
        tempfile.TemporaryDirectory(prefix="pg_durable_tests_") as folder,
        server_with_extension(Path(folder), launcher=False) as server,
    ):
        yield server


@pytest.fixture
def empty(extension_server: EmbeddedServer) -> Iterator[str]:
    """The connection string of a fresh database without df on that server, as superuser."""
    with empty_database(extension_server) as dsn:
        yield dsn


@pytest.fixture
async def fresh(empty: str) -> AsyncIterator[Database]:
    """A session with it."""
    session = await Database.connect(empty)
    yield session
    await session.close()


@pytest.fixture(autouse=True)
def no_worker_processes_are_left() -> Iterator[None]:
    """A test that fails before it stops its workers leaves none behind."""
    yield
    kill_what_is_left()


@pytest.fixture
async def worker(database: str) -> AsyncIterator[Worker]:
    """A worker in this process, serving the fresh database."""
    async with worker_here(database) as running:
        yield running
