"""Fixtures of tests with HTTP steps: a server, and a worker that may call it."""

from collections.abc import AsyncIterator

import pytest

from pg_durable.engine.worker import Worker
from support.http_server import HttpServer, http_server
from support.workers import worker_here

LOCAL = "127.0.0.1 localhost"


@pytest.fixture
async def web() -> AsyncIterator[HttpServer]:
    """An HTTP server of this machine."""
    async with http_server() as server:
        yield server


@pytest.fixture
async def caller(database: str) -> AsyncIterator[Worker]:
    """A worker in this process whose steps may call this machine."""
    async with worker_here(database, http_policy=LOCAL) as running:
        yield running
