"""What the tests of the command share."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from integration.cli.running import Cli
from pg_durable.client import Client


@pytest.fixture
def cli(database: str) -> Cli:
    """The command, with the fresh database in PG_DURABLE_DSN."""
    return Cli(PG_DURABLE_DSN=database)


@pytest.fixture
def nowhere(tmp_path: Path) -> Cli:
    """The command where no database is named and no embedded server runs."""
    return Cli(PG_DURABLE_DATA=str(tmp_path / "none"), PGCONNECT_TIMEOUT="5")


@pytest.fixture
async def client(database: str) -> AsyncIterator[Client]:
    """A client of the fresh database, as its superuser."""
    async with await Client.connect(database) as client:
        yield client
