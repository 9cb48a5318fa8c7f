"""The primary dies under load, its synchronous standby takes over: nothing is lost or doubled."""

from collections.abc import Iterator

import psycopg
import pytest

from pg_durable.client import Client
from pg_durable.errors import ServerUnavailable
from pg_durable.schema import install
from pg_durable.torture.replicas import Replicas
from support.failover import fail_over_under_load
from support.waiting import until

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def replicas() -> Iterator[Replicas]:
    """A primary with the schema, and its synchronous standby."""
    with Replicas() as replicas:
        install(replicas.dsn())
        yield replicas


async def test_a_primary_killed_again_and_again_under_load_loses_and_doubles_nothing(
    replicas: Replicas,
) -> None:
    await fail_over_under_load(replicas, failovers=3)


async def test_on_a_standby_one_may_look_and_is_told_why_nothing_can_be_changed(
    replicas: Replicas,
) -> None:
    async with await Client.connect(replicas.dsn()) as client:
        instance = await client.start("'select 1'")

    async def installed() -> bool:
        with psycopg.connect(replicas.standby.dsn()) as session:
            return session.execute("select to_regclass('df._schema')").fetchone() != (None,)

    await until(installed)
    async with await Client.connect(replicas.standby.dsn()) as client:

        async def replicated() -> bool:
            return bool((await client.list_instances()).instances)

        await until(replicated)
        assert (await client.instance(instance)).status == "pending"
        with pytest.raises(ServerUnavailable, match="standby"):
            await client.start("'select 1'")
        with pytest.raises(ServerUnavailable, match="standby"):
            await client.cancel(instance)
