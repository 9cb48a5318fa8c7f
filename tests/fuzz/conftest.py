"""Fixtures of the fuzzers."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pg_durable.embedded import EmbeddedServer
from support.fuzz.served import Served, served, users


@pytest.fixture
def world(database: str, tmp_path: Path) -> Iterator[Served]:
    """A fresh database with a worker process and two users."""
    with served(database, tmp_path) as world:
        yield world


@pytest.fixture(scope="session", autouse=True)
def fuzz_users(server: EmbeddedServer) -> None:
    """The roles of the users; they are the server's."""
    users(server.dsn())
