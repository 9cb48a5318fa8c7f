"""A server with the extension's files on it, and fresh databases of it."""

import itertools
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from conftest import FAST
from pg_durable.embedded import EmbeddedServer
from support.database import Database
from support.extension import server_with_extension

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def extension_server() -> Iterator[EmbeddedServer]:
    """A server with the extension's files, without the launcher."""
    with (
        tempfile.TemporaryDirectory(prefix="pg_durable_tests_") as folder,
        server_with_extension(Path(folder), launcher=False, **FAST) as server,
    ):
        yield server


@pytest.fixture
def empty(extension_server: EmbeddedServer) -> Iterator[str]:
    """The connection string of a fresh database without df, as superuser postgres."""
    name = f"extension_{next(_numbers)}"
    with psycopg.connect(extension_server.dsn(), autocommit=True) as admin:
        admin.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
    yield extension_server.dsn(name)
    with psycopg.connect(extension_server.dsn(), autocommit=True) as admin:
        admin.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


@pytest.fixture
async def fresh(empty: str) -> AsyncIterator[Database]:
    """A session with it."""
    session = await Database.connect(empty)
    yield session
    await session.close()
