"""The promise: whatever is killed, and whenever, each step takes effect exactly once."""

import asyncio
import os
import random
import signal
import tempfile
from pathlib import Path

import psycopg
import pytest

from pg_durable.embedded import EmbeddedServer
from pg_durable.schema import install
from support.database import Database
from support.ledger import assert_each_step_exactly_once, create_ledger, start_ledger_workflows
from support.waiting import until
from support.workers import WorkerProcess, worker_here

pytestmark = pytest.mark.timeout(400)  # seconds, on a machine that may be busy

KILLS = 50
WORKFLOWS = 500


async def test_a_worker_killed_fifty_times_loses_and_doubles_nothing(db: Database) -> None:
    await create_ledger(db)
    random.seed(4711)
    for _ in range(KILLS):
        await start_ledger_workflows(db, WORKFLOWS // KILLS)
        victim = await WorkerProcess(db.conninfo).start()
        done = await db.scalar("select count(*) from ledger")

        async def at_work(done: int = done) -> bool:
            return int(await db.scalar("select count(*) from ledger")) > done

        await until(at_work)
        await asyncio.sleep(random.random() * 0.3)  # the random instant of the kill
        await victim.kill()

    async with worker_here(db.conninfo):
        await db.wait_all()

    await assert_each_step_exactly_once(db, WORKFLOWS)


async def test_two_workers_killed_in_turn_lose_and_double_nothing(db: Database) -> None:
    await create_ledger(db)
    await start_ledger_workflows(db, 200)
    random.seed(4712)
    workers = [await WorkerProcess(db.conninfo).start() for _ in range(2)]

    for number in range(10):
        await asyncio.sleep(0.2 + random.random() * 0.5)  # the random instant of the kill
        await workers[number % 2].kill()
        workers[number % 2] = await WorkerProcess(db.conninfo).start()
    await db.wait_all()

    await assert_each_step_exactly_once(db, 200)
    for worker in workers:
        await worker.stop()


async def test_a_killed_workers_instances_are_taken_over_within_two_seconds(db: Database) -> None:
    survivor = await WorkerProcess(db.conninfo).start()
    await db.rows("create table t (i int)")
    victim = await WorkerProcess(db.conninfo).start()

    async def both_alive() -> object:
        return await db.scalar("select count(*) = 2 from df._worker_epoch")

    await until(both_alive)
    await db.rows("select df.start('select pg_sleep(0.5)') from generate_series(1, 40)")
    await asyncio.sleep(0.3)
    await victim.kill()

    await db.wait_all(within=15)
    assert await db.scalar("select count(*) from df._worker_epoch") == 1
    await survivor.stop()


async def test_a_frozen_worker_is_taken_over_and_wakes_up_as_a_harmless_zombie(
    db: Database,
) -> None:
    await create_ledger(db)
    zombie = await WorkerProcess(db.conninfo, lease=1.0, heartbeat_interval=0.2).start()
    await start_ledger_workflows(db, 50)

    async def at_work() -> object:
        return await db.scalar("select count(*) > 10 from ledger")

    await until(at_work)
    zombie.freeze()
    async with worker_here(db.conninfo, lease=1.0, heartbeat_interval=0.2):
        await asyncio.sleep(1.5)  # longer than the zombie's lease
        zombie.thaw()
        await db.wait_all()

    await assert_each_step_exactly_once(db, 50)
    assert await zombie.stop() == 0


@pytest.mark.parametrize("kills", [6])
async def test_a_server_killed_again_and_again_loses_and_doubles_nothing(kills: int) -> None:
    with tempfile.TemporaryDirectory(prefix="pg_durable_kills_") as folder:
        settings = {"fsync": "off"}
        with EmbeddedServer(Path(folder), settings=settings) as server:
            install(server.dsn())
            db = await Database.connect(server.dsn())
            await create_ledger(db)
            await start_ledger_workflows(db, 300)
            await db.close()
            random.seed(4713)
            async with worker_here(server.dsn()):
                for _ in range(kills):
                    await asyncio.sleep(0.3 + random.random())  # the random instant of the kill
                    pid = server.postmaster_pid
                    assert pid is not None
                    os.kill(pid, signal.SIGKILL)

                    async def back(killed: int = pid) -> bool:
                        return server.postmaster_pid not in (None, killed)

                    await until(back)
                db = await _reconnect(server.dsn())
                await db.wait_all(within=60)

            await assert_each_step_exactly_once(db, 300)
            await db.close()


async def test_a_worker_that_is_told_to_stop_finishes_or_releases_its_steps(db: Database) -> None:
    await create_ledger(db)
    await start_ledger_workflows(db, 30)
    worker = await WorkerProcess(db.conninfo).start()

    async def at_work() -> object:
        return await db.scalar("select count(*) > 5 from ledger")

    await until(at_work)
    assert await worker.stop() == 0

    held = await db.scalar("select count(*) from df.instances where worker is not null")
    assert held == 0
    async with worker_here(db.conninfo):
        await db.wait_all()
    await assert_each_step_exactly_once(db, 30)


async def _reconnect(conninfo: str) -> Database:
    found: list[Database] = []

    async def connected() -> bool:
        try:
            found.append(await Database.connect(conninfo))
        except psycopg.OperationalError:
            return False
        return True

    await until(connected)
    return found[0]
