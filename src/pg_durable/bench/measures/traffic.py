"""Round trips and statements: of a step under load, and of a worker that has nothing to do."""

import time
from collections.abc import Iterable

from pg_durable.bench.figures import Reading
from pg_durable.bench.lab import Lab
from pg_durable.bench.measures.drain import drain
from pg_durable.bench.measures.measure import Measure
from pg_durable.bench.measures.throughput import CHAIN_10, ONE_STEP
from pg_durable.bench.relay import counting_relay

_SETTLE = 2.0  # seconds, until an idle worker does no more than it always does


def _of_steps(lab: Lab) -> Iterable[Reading]:
    for workload in (ONE_STEP, CHAIN_10):
        lab.reset()
        count = lab.count(1_000)
        with counting_relay(lab.dsn) as (dsn, traffic), lab.workers(dsn=dsn) as workers:
            drain(lab, workload.workflow, count, workers)  # the sessions are open now
            lab.reset()
            before = traffic.copy()
            drain(lab, workload.workflow, count, workers)
        # The second drain warms up, too: with instances like all others.
        steps = workload.steps * (count + min(count, 100))
        trips = traffic.round_trips - before.round_trips
        statements = traffic.statements - before.statements
        name = workload.name
        yield Reading(name=f"{name}_round_trips_per_step", value=trips / steps, unit="round trips")
        yield Reading(
            name=f"{name}_statements_per_step", value=statements / steps, unit="statements"
        )


def _of_idle_worker(lab: Lab) -> Iterable[Reading]:
    lab.reset()
    with counting_relay(lab.dsn) as (dsn, traffic), lab.workers(dsn=dsn):
        time.sleep(_SETTLE)
        before, begun = traffic.copy(), time.monotonic()
        time.sleep(lab.seconds(10, least=2.0))
        elapsed = time.monotonic() - begun
        statements = traffic.statements - before.statements
    yield Reading(name="idle_statements_per_second", value=statements / elapsed, unit="statements")


MEASURES = (
    Measure(
        name="round_trips", means="round trips and statements of a step", run=_of_steps, once=True
    ),
    Measure(
        name="idle_traffic",
        means="statements a second of a worker without work",
        run=_of_idle_worker,
        once=True,
    ),
)
