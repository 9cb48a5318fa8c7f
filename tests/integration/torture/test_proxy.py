"""The proxy does to connections what it says, and nothing else."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from pg_durable.torture.link import Way
from pg_durable.torture.proxy import Proxy
from support.database import Database
from support.waiting import until

_BRIEF = 0.3  # seconds in which something must not happen


@pytest.fixture
def proxy(database: str) -> Iterator[Proxy]:
    """A proxy before the server of this test's database."""
    with Proxy.before(database, dice=random.Random(1)) as proxy:
        yield proxy


@pytest.fixture
async def through(proxy: Proxy, database: str) -> AsyncIterator[Database]:
    """A session through it."""
    session = await Database.connect(proxy.dsn(database))
    yield session
    await session.close()


async def _pid(db: Database) -> int:
    return int(await db.scalar("select pg_backend_pid()"))


async def _gone(db: Database, pid: int) -> None:
    async def gone() -> bool:
        return not await db.rows("select 1 from pg_stat_activity where pid = %s", pid)

    await until(gone)


async def test_it_passes_on_whatever_the_size_even_to_one_who_asks_for_encryption(
    proxy: Proxy, database: str
) -> None:
    session = await Database.connect(make_conninfo(proxy.dsn(database), sslmode="prefer"))

    length = await session.scalar("select length(%s)", "x" * 3_000_000)
    text = await session.scalar("select repeat('y', 3000000)")

    assert (length, text) == (3_000_000, "y" * 3_000_000)
    await session.close()


@pytest.mark.parametrize("reset", [True, False])
async def test_a_cut_connection_ends_on_both_sides(
    proxy: Proxy, through: Database, db: Database, reset: bool
) -> None:
    pid = await _pid(through)

    hit = proxy.cut(reset=reset)

    assert hit == 1
    with pytest.raises(psycopg.OperationalError):
        await through.rows("select 1")
    await _gone(db, pid)
    another = await Database.connect(proxy.dsn(db.conninfo))
    assert await another.scalar("select 1") == 1
    await another.close()


async def test_cut_towards_the_client_the_server_hears_nothing_until_it_is_healed(
    proxy: Proxy, through: Database, db: Database
) -> None:
    pid = await _pid(through)

    proxy.cut(Way.TO_CLIENT)

    with pytest.raises(psycopg.OperationalError):
        await through.rows("select 1")
    assert await db.rows("select 1 from pg_stat_activity where pid = %s", pid)
    proxy.heal()
    await _gone(db, pid)


async def test_cut_towards_the_server_the_client_hears_nothing_until_it_is_healed(
    proxy: Proxy, through: Database, db: Database
) -> None:
    pid = await _pid(through)

    proxy.cut(Way.TO_SERVER)

    await _gone(db, pid)
    asking = asyncio.create_task(through.rows("select 1"))
    done, _ = await asyncio.wait([asking], timeout=_BRIEF)
    assert not done
    proxy.heal()
    with pytest.raises(psycopg.OperationalError):
        await asking


async def test_an_answer_that_is_swallowed_is_of_something_done(
    proxy: Proxy, through: Database, db: Database
) -> None:
    await db.rows("create table t ()")
    proxy.swallow(Way.TO_CLIENT)

    inserting = asyncio.create_task(through.rows("insert into t default values"))

    async def done() -> bool:
        return bool(await db.scalar("select count(*) from t")) and proxy.torn == 1

    await until(done)
    assert not inserting.done()
    proxy.heal()
    with pytest.raises(psycopg.OperationalError):
        await inserting


async def test_new_connections_fall_into_a_black_hole_too(proxy: Proxy, database: str) -> None:
    proxy.swallow()

    with pytest.raises(psycopg.OperationalError, match="timeout"):
        await Database.connect(make_conninfo(proxy.dsn(database), connect_timeout=2))


async def test_what_is_held_up_arrives_when_it_is_healed(proxy: Proxy, through: Database) -> None:
    proxy.hold(Way.TO_SERVER)
    asking = asyncio.create_task(through.scalar("select 7"))
    done, _ = await asyncio.wait([asking], timeout=_BRIEF)

    proxy.heal()

    assert not done
    assert await asking == 7


async def test_a_slow_connection_takes_its_time(proxy: Proxy, through: Database) -> None:
    loop = asyncio.get_running_loop()
    proxy.slow(0.05, bytes_per_second=100_000)

    began = loop.time()
    text = await through.scalar("select repeat('z', 20000)")

    assert text == "z" * 20_000
    assert loop.time() - began > 0.25  # 50 ms there, and 200 ms for what comes back


async def test_new_connections_are_refused_and_old_ones_go_on(
    proxy: Proxy, through: Database, database: str
) -> None:
    proxy.refuse()

    with pytest.raises(psycopg.OperationalError):
        await Database.connect(proxy.dsn(database))
    assert await through.scalar("select 1") == 1


async def test_notifications_are_lost_and_nothing_else(
    proxy: Proxy, through: Database, db: Database
) -> None:
    heard: list[str] = []
    through.session.add_notify_handler(lambda notify: heard.append(notify.payload))
    await through.rows("listen channel")

    await db.rows("notify channel, 'first'")
    await through.rows("select 1")
    proxy.lose_notifications()
    await db.rows("notify channel, 'second'")
    assert await through.rows("select 1") == [(1,)]
    proxy.heal()
    await db.rows("notify channel, 'third'")
    await through.rows("select 1")

    assert heard == ["first", "third"]


async def test_a_share_of_the_connections_is_hit(proxy: Proxy, database: str) -> None:
    sessions = [await Database.connect(proxy.dsn(database)) for _ in range(20)]

    hit = proxy.cut(share=0.5)

    async def left() -> bool:
        return proxy.connections == 20 - hit

    assert 0 < hit < 20
    await until(left)
    for session in sessions:
        await session.close()
