"""Ten thousand random graphs, and a thousand more whose workers are killed again and again.

Run by `make test-long`; it tells how far it is.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from support.database import Database
from support.search.compare import Mismatch, search
from support.search.graphs import make_case
from support.search.observe import prepare
from support.workers import WorkerProcess, worker_here

GRAPHS = 10_000
GRAPHS_UNDER_KILLS = 1_000
AT_ONCE = 500  # instances under way at the same time
AT_ONCE_UNDER_KILLS = 50  # fewer, so that more of them meet a kill

PARK_AFTER = (0.25, 0.0)  # a worker that keeps short waits, and one that keeps none

pytestmark = pytest.mark.timeout(900)


@pytest.mark.parametrize("park_after", PARK_AFTER)
async def test_ten_thousand_random_graphs_do_what_the_reference_tells(
    db: Database, park_after: float
) -> None:
    await prepare(db)
    half = GRAPHS // 2
    seeds = range(half) if park_after else range(half, GRAPHS)

    async with worker_here(db.conninfo, loop_min_interval=0.0, park_after=park_after):
        mismatches = await _search(db, seeds, AT_ONCE)

    assert not mismatches, "\n".join(map(str, mismatches))


async def test_a_thousand_random_graphs_survive_random_kills_of_their_workers(
    db: Database,
) -> None:
    await prepare(db)

    async with _two_workers_being_killed(db, seed=4711) as kills:
        seeds = range(GRAPHS, GRAPHS + GRAPHS_UNDER_KILLS)
        mismatches = await _search(db, seeds, AT_ONCE_UNDER_KILLS)

    print(f"{len(kills)} kills")
    assert not mismatches, "\n".join(map(str, mismatches))
    assert kills


async def _search(db: Database, seeds: range, at_once: int) -> list[Mismatch]:
    began = time.monotonic()
    mismatches: list[Mismatch] = []
    for first in range(seeds.start, seeds.stop, at_once):
        some = range(first, min(first + at_once, seeds.stop))
        found = await search(db, [make_case(seed) for seed in some], within=60)
        print(*found, sep="\n", end="")
        mismatches += found
        print(
            f"{some.stop - seeds.start} of {len(seeds)} graphs,"
            f" {len(mismatches)} mismatches, {time.monotonic() - began:.0f} s",
            flush=True,
        )
    return mismatches


@asynccontextmanager
async def _two_workers_being_killed(db: Database, seed: int) -> AsyncIterator[list[float]]:
    """Two workers; again and again one is killed, at an instant that the seed decides."""
    schedule = random.Random(seed)
    workers = [await _worker(db, park_after) for park_after in PARK_AFTER]
    kills: list[float] = []

    over = asyncio.Event()

    async def kill_in_turn() -> None:
        while not over.is_set():
            wait, victim = schedule.uniform(0.0, 0.5), schedule.randrange(2)
            with suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), wait)
            await workers[victim].kill()
            kills.append(wait)
            workers[victim] = await _worker(db, PARK_AFTER[victim])

    killer = asyncio.create_task(kill_in_turn())
    try:
        yield kills
    finally:
        over.set()
        await killer
        for worker in workers:
            await worker.kill()


async def _worker(db: Database, park_after: float) -> WorkerProcess:
    return await WorkerProcess(db.conninfo, loop_min_interval=0.0, park_after=park_after).start()
