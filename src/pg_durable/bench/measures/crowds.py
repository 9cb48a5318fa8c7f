"""What must not grow with the number of instances or roles: sleepers, tenants."""

import asyncio
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import psutil
from psycopg import sql

from pg_durable.bench.figures import RATE, TIMES, Reading, latencies
from pg_durable.bench.lab import Lab
from pg_durable.bench.measures.drain import (
    MILLION,
    PATIENCE,
    batches,
    drain,
    settle,
    start_many,
    warm_up,
)
from pg_durable.bench.measures.measure import Measure
from pg_durable.bench.measures.throughput import ONE_STEP
from pg_durable.schema import check_version
from pg_durable.store import Store
from pg_durable.wire import Wire
from pg_durable.wire.dsn import worker_dsn

_ROLES = 1000
_CLAIMED = 80  # at most, as a worker does by default
_WARM_UP = 10
_LATE = """
    select (1000 * extract(epoch from completed_at - created_at) - %s)::float8
    from df.instances
    where label = 'early'
"""


def _sleepers(lab: Lab) -> Iterable[Reading]:
    count = MILLION if lab.full else lab.count(50_000)
    lab.reset()
    with lab.workers() as workers:
        warm_up(lab, ONE_STEP.workflow, lab.count(100))
        # The first of them fill the worker's caches, and up to a limit what its garbage collector
        # leaves for later; what follows, four times as many, must not add to that.
        _park(lab, count // 4)
        before = _memory(workers)
        begun = time.perf_counter()
        for size in batches(count):
            _park(lab, size)
        yield Reading(
            name="sleepers_parked_per_s", value=count / (time.perf_counter() - begun), unit=RATE
        )
        yield Reading(name="sleepers_count", value=count, unit="instances")
        yield Reading(name="sleepers_worker_memory_before", value=before, unit="MB")
        yield Reading(name="sleepers_worker_memory_growth", value=_memory(workers) - before,
                      unit="MB")  # fmt: skip
        settle(lab)
        claims = asyncio.run(_claim_times(lab.dsn, lab.count(100)))
        yield from latencies("sleepers_claim", claims)

        seconds = 3
        few = lab.count(1_000)
        for _ in range(few // 10):
            lab.value(
                "select count(df.start(df.sleep(%s), 'early')) from generate_series(1, 10)", seconds
            )
            time.sleep(0.01)
        lab.wait_for("select count(*) = 0 from df.instances where label = 'early'"
                     " and status <> 'completed'")  # fmt: skip
        yield from latencies("sleepers_wake_late", lab.column(_LATE, 1000 * seconds))
    lab.reset()


def _park(lab: Lab, count: int) -> None:
    start_many(lab, "df.sleep(864000)", count)
    lab.wait_until_parked(PATIENCE)


def _memory(workers: list[psutil.Process]) -> float:
    return sum(worker.memory_info().rss for worker in workers) / 1e6


async def _claim_times(dsn: str, count: int) -> list[float]:
    """How long it takes to find that nothing is due, as a worker asks for it, in ms."""
    wire = await Wire.connect(worker_dsn(dsn, "bench"))
    try:
        store = Store(wire, await check_version(wire))
        worker = await store.register("bench")
        taken = []
        for _ in range(_WARM_UP + count):
            begun = time.perf_counter()
            await store.claim(worker, _CLAIMED)
            taken.append(1000 * (time.perf_counter() - begun))
        await store.unregister(worker)
    finally:
        wire.close()
    return taken[_WARM_UP:]


def _tenants(lab: Lab) -> Iterable[Reading]:
    """Instances of one step of 1,000 roles, against as many of one role."""
    roles = lab.count(_ROLES)
    each = 10
    lab.reset()
    with lab.workers() as workers:
        alone = drain(lab, ONE_STEP.workflow, roles * each, workers).per_second
    lab.reset()
    with _many_roles(lab, roles) as names:
        with lab.session.transaction():
            for name in names:
                lab.session.execute(sql.SQL("set local role {}").format(sql.Identifier(name)))
                lab.value(
                    "select count(df.start('select 1 as a')) from generate_series(1, %s)", each
                )
            lab.session.execute("reset role")
        lab.session.execute("analyze df.instances, df.nodes")
        begun = lab.value("select clock_timestamp()")
        with lab.workers():
            lab.wait_until_done()
            taken = lab.value(
                "select extract(epoch from max(completed_at) - greatest(min(completed_at), %s))"
                "::float8 from df.instances",
                begun,
            )
        together = roles * each / taken
        yield Reading(name="tenants_count", value=roles, unit="roles")
        yield Reading(name="tenants_steps_per_s", value=together, unit=RATE)
        yield Reading(name="tenants_to_one_role", value=together / alone, unit=TIMES)
        lab.reset()


@contextmanager
def _many_roles(lab: Lab, number: int) -> Iterator[list[str]]:
    names = [f"durable_bench_{os.getpid()}_{n}" for n in range(number)]
    group = f"durable_bench_{os.getpid()}"
    try:
        with lab.session.transaction():
            lab.session.execute(sql.SQL("create role {}").format(sql.Identifier(group)))
            lab.value("select df.grant_usage(%s)", group)
            for name in names:
                lab.session.execute(
                    sql.SQL("create role {} login in role {}").format(
                        sql.Identifier(name), sql.Identifier(group)
                    )
                )
        yield names
    finally:
        with lab.session.transaction():
            for name in names:
                lab.session.execute(sql.SQL("drop role if exists {}").format(sql.Identifier(name)))
            lab.session.execute(sql.SQL("drop owned by {}").format(sql.Identifier(group)))
            lab.session.execute(sql.SQL("drop role {}").format(sql.Identifier(group)))


MEASURES = (
    Measure(
        name="sleepers", means="many parked instances: memory, claims, wake-ups", run=_sleepers,
        once=True,
    ),
    Measure(name="tenants", means="instances of a thousand roles", run=_tenants, once=True),
)  # fmt: skip
