"""One round from its plan to its violations; and round after round."""

import asyncio
import itertools
import logging
import math
import random
import re
import signal
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from pg_durable.torture.arena import PATIENCE, Arena, make_template
from pg_durable.torture.checks import check_database, unfinished
from pg_durable.torture.clients import Client, Told, actions_of
from pg_durable.torture.faults import FAULTS
from pg_durable.torture.leaks import find_left, find_open_files, find_orphans
from pg_durable.torture.plan import ROLES, Plan, make_plan
from pg_durable.torture.server import Server
from pg_durable.torture.violations import Violation

CLIENTS_OF_A_ROLE = 3
_ROUNDS_OF_A_SERVER = 10
# What a worker says of an error that it does not reckon with, with the trace that follows.
_BUGS = re.compile(
    r"^(?:Traceback|\S+ \S+ ERROR .*(?:ended with an error|cannot be driven)).*\n(?:\D.*\n)*",
    re.MULTILINE,
)


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What a round came to."""

    plan: Plan
    violations: list[Violation] = field(default_factory=list)
    seconds: float = 0.0
    draining: float = 0.0  # of these, until all had ended after the last fault
    statuses: Counter[str] = field(default_factory=Counter)
    clients: Counter[str] = field(default_factory=Counter)
    kept: Path | None = None  # where its server's directory was left


def torture_rounds(
    tell: Callable[[Outcome], None],
    *,
    seed: int | None = None,
    rounds: int | None = None,
    minutes: float | None = None,
    workers: int = 3,
    faults: Collection[str] | None = None,
    keep: bool = False,
) -> None:
    """Run rounds, so many of them or until the time is up, and tell of each when it is over.

    Their seeds count up from `seed`, or are random. SIGINT and SIGTERM end it, with all that it
    has started.
    """
    seeds = itertools.count(seed) if seed is not None else iter(_random_seed, None)
    plans = (make_plan(number, workers=workers, faults=faults) for number in seeds)
    until = math.inf if minutes is None else time.monotonic() + minutes * 60
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where it was ignored
    signal.signal(signal.SIGTERM, lambda number, _: signal.raise_signal(signal.SIGINT))
    logging.getLogger("psycopg").setLevel(logging.ERROR)  # lost sessions are the point
    asyncio.run(_run_rounds(itertools.islice(plans, rounds), tell, until=until, keep=keep))


def _random_seed() -> int:
    return random.randrange(10**6, 10**9)


async def _run_rounds(
    plans: Iterable[Plan], tell: Callable[[Outcome], None], *, until: float, keep: bool
) -> None:
    server: Server | None = None
    served = 0
    try:
        for plan in plans:
            if server is None:
                server, served = await _open_server(), 0
            outcome = await run_round(server, plan, keep=keep)
            tell(outcome)
            served += 1
            if served == _ROUNDS_OF_A_SERVER or outcome.violations:
                broken, server = server, None
                await broken.close(keep=outcome.kept is not None)
            if time.monotonic() > until:
                break
    finally:
        if server is not None:
            await server.close()


async def _open_server() -> Server:
    server = Server()
    try:
        await server.open()
        await make_template(server)
    except BaseException:
        await server.close()
        raise
    return server


async def run_round(server: Server, plan: Plan, *, keep: bool = False) -> Outcome:
    """Start workflows, inject faults, wait until all has ended, and look at what came of it."""
    outcome = Outcome(plan=plan)
    began = time.monotonic()
    arena = Arena(server, plan, f"torture_{plan.seed}")
    try:
        await arena.open()
        told = await _load(arena)
        outcome.clients = told.counts
        lifted = time.monotonic()
        await server.until_ready(within=PATIENCE)
        outcome.violations += [Violation("refused", "client", text) for text in told.refused]
        outcome.violations += await _drain(arena)
        outcome.draining = time.monotonic() - lifted
        outcome.violations += await _look(arena, told)
        outcome.statuses = await _statuses(arena)
    finally:
        outcome.seconds = time.monotonic() - began
        if keep and outcome.violations:
            outcome.kept = server.directory
        await arena.close(keep=outcome.kept is not None)
    return outcome


async def _load(arena: Arena) -> Told:
    """Let clients and faults loose; return when both have done what they had to."""
    plan, told = arena.plan, Told()
    dice = random.Random(plan.seed)
    began = asyncio.get_running_loop().time()
    async with asyncio.TaskGroup() as tasks:
        for role in ROLES:
            actions = actions_of([w for w in plan.workflows if w.role == role])
            tags = [{w.tag for w in plan.workflows[n::CLIENTS_OF_A_ROLE]}
                    for n in range(CLIENTS_OF_A_ROLE)]  # fmt: skip
            for own in tags:
                mine = [action for action in actions if action.workflow.tag in own]
                dsn = arena.dsn(role, through_proxy=plan.proxied and dice.random() < 0.5)
                client = Client(dsn, mine, told, dice.getrandbits(32))
                tasks.create_task(client.run(began, plan.seconds + PATIENCE))
        for fault in plan.faults:
            tasks.create_task(
                _inject(arena, fault.kind, began + fault.at, fault.seconds, fault.seed)
            )
    return told


async def _inject(arena: Arena, kind: str, at: float, seconds: float, seed: int) -> None:
    fault = FAULTS[kind]
    await asyncio.sleep(max(at - asyncio.get_running_loop().time(), 0))
    arena.crashed |= fault.crashes
    # A session of a fault's own may fall to another fault.
    try:
        await fault.inject(arena, seconds, random.Random(seed))
    except (psycopg.Error, OSError):
        arena.cut_short[kind] += 1


async def _drain(arena: Arena) -> list[Violation]:
    """Wait until all that has been accepted is over."""
    give_up = time.monotonic() + PATIENCE
    left: list[Violation] = []
    async with await arena.session() as session:
        while left := await unfinished(session):
            if time.monotonic() > give_up:
                break
            await asyncio.sleep(0.1)
    return left


async def _look(arena: Arena, told: Told) -> list[Violation]:
    """Everything that can be checked, while the workers live and after they have ended."""
    found = []
    async with await arena.session() as session:
        try:
            await arena.until_registered()
        except TimeoutError as error:
            found.append(Violation("worker row", "df._worker_epoch", str(error)))
        found += find_open_files(arena)
        await asyncio.gather(*(worker.stop() for worker in arena.workers))
        excused = {state for fault in arena.plan.faults for state in FAULTS[fault.kind].excuses}
        found += await check_database(session, excused)
        found += await _check_acknowledged(session, told)
        found += await _settled(session, crashed=arena.crashed)
    found += find_orphans(arena.server)
    for worker in arena.workers:
        found += [Violation("worker", str(worker.number), text) for text in worker.complaints]
    for path, text in arena.log_texts():
        found += [Violation("worker log", path.name, said) for said in _BUGS.findall(text)]
    return found


async def _check_acknowledged(session: psycopg.AsyncConnection, told: Told) -> list[Violation]:
    cursor = await session.execute("select tag from torture.starts")
    there = {row[0] for row in await cursor.fetchall()}
    return [
        Violation("lost", tag, "its start was acknowledged, and is not there")
        for tag in told.acknowledged - there
    ]


async def _settled(session: psycopg.AsyncConnection, *, crashed: bool) -> list[Violation]:
    """What is left when sessions that are just ending have ended."""
    give_up = time.monotonic() + PATIENCE / 4
    while found := await find_left(session, crashed=crashed):
        if time.monotonic() > give_up:
            break
        await asyncio.sleep(0.1)
    return found


async def _statuses(arena: Arena) -> Counter[str]:
    async with await arena.session() as session:
        cursor = await session.execute("select status, count(*) from df.instances group by 1")
        return Counter(dict(await cursor.fetchall()))
