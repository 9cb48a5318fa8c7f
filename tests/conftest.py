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
from support.database import Database
from support.workers import kill_what_is_left, worker_here

# A test server need not survive a power cut; a SIGKILL loses nothing of what the kernel has.
FAST = {"fsync": "off", "full_page_writes": "off", "max_connections": "150"}

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
