"""Many failovers in a row."""

import pytest

from pg_durable.schema import install
from pg_durable.torture.replicas import Replicas
from support.failover import fail_over_under_load


@pytest.mark.timeout(1800)
async def test_thirty_failovers_lose_and_double_nothing() -> None:
    with Replicas() as replicas:
        install(replicas.dsn())

        await fail_over_under_load(replicas, failovers=30)
