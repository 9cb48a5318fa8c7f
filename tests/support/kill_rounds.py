"""Rounds of random kills among all that runs workflows beside a server."""

import asyncio
import random
import time
from functools import partial

import psutil
import psycopg

from support.launcher import LaunchedServer, kill, until_gone
from support.ledger import assert_each_step_exactly_once, create_ledger, start_ledger_workflows
from support.waiting import until

WORKFLOWS = 20  # started in each round
AT_WORK = 0.75  # how often the worker is let come to its work before the kill

# The embedded server's keeper takes half a minute to start one again that ends all the time.
WEIGHTS = {"the postmaster": 1, "the launcher": 3, "the worker": 3, "a session": 3}


async def kill_at_random(server: LaunchedServer, *, rounds: int, dice: random.Random) -> None:
    """Start workflows, kill something, again and again; then see that nothing is left or lost."""
    db = await server.connect()
    await create_ledger(db)
    await db.close()
    began = time.monotonic()

    for number in range(1, rounds + 1):
        await _start_some(server)
        if dice.random() < AT_WORK:
            await until(partial(_works, server), within=120)
        await asyncio.sleep(dice.random())  # the random instant of the kill
        what, victim = _choose(server, dice)
        kill(victim)
        await until_gone(victim)
        await until(server.has_no_orphan, within=60)
        print(f"round {number}: killed {what}, {time.monotonic() - began:.0f} s", flush=True)

    db = await server.connect()
    await db.wait_all(within=120)
    started = await db.scalar("select count(*) from df.instances")
    await assert_each_step_exactly_once(db, started)
    assert started >= rounds * WORKFLOWS
    await db.close()
    await server.worker()  # there is one, and no other


async def _start_some(server: LaunchedServer) -> None:
    """Have more workflows under way; a server that is just dying is asked again."""

    async def started() -> bool:
        db = await server.connect()
        try:
            await start_ledger_workflows(db, WORKFLOWS)
        except psycopg.OperationalError:
            return False
        finally:
            await db.close()
        return True

    await until(started, within=120)


async def _works(server: LaunchedServer) -> bool:
    """Whether the worker has sessions; nobody else has any then."""
    return bool(server.backends())


def _choose(server: LaunchedServer, dice: random.Random) -> tuple[str, psutil.Process]:
    """Something that is there to be killed."""
    postmaster = server.postmaster()
    candidates = {
        "the postmaster": [postmaster] if postmaster else [],
        "the launcher": server.launchers(),
        "the worker": server.workers(),
        "a session": server.backends(),
    }
    there = [what for what, processes in candidates.items() if processes]
    (what,) = dice.choices(there, [WEIGHTS[what] for what in there])
    return what, dice.choice(candidates[what])
