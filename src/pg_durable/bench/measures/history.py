"""Steps beside many instances that have ended, in turn with the same steps on an empty system."""

from collections.abc import Iterable
from contextlib import ExitStack
from statistics import median

from pg_durable.bench.figures import RATE, TIMES, Reading
from pg_durable.bench.lab import Lab
from pg_durable.bench.measures.drain import (
    MILLION,
    PATIENCE,
    Drained,
    batches,
    drain_beside,
    settle,
    start_many,
    warm_up,
)
from pg_durable.bench.measures.measure import Measure
from pg_durable.bench.measures.throughput import CHAIN_10, ONE_STEP
from pg_durable.bench.place import scratch_database
from pg_durable.schema import install

# Machines get faster and slower by more than what is looked for, so there are turns.
_TURNS = 5


def _history(lab: Lab) -> Iterable[Reading]:
    """Chains of 10 in two databases of one server: what they take and cost, as medians."""
    count = MILLION if lab.full else lab.count(30_000)
    chains = lab.count(CHAIN_10.count)
    with ExitStack() as stack:
        dsn = stack.enter_context(scratch_database(lab.dsn, "empty"))
        install(dsn)
        other = stack.enter_context(Lab(dsn, scale=lab.scale, full=lab.full))
        workers, idle = (stack.enter_context(each.workers()) for each in (lab, other))
        warm_up(lab, ONE_STEP.workflow, lab.count(100))
        for size in batches(count):
            start_many(lab, ONE_STEP.workflow, size)
            lab.wait_until_done(PATIENCE)
        settle(lab)

        warm_up(other, CHAIN_10.workflow, lab.count(100))
        drain_beside(lab, CHAIN_10.workflow, lab.count(100), workers)
        empty, full = [], []
        for _ in range(_TURNS):
            other.reset()
            empty.append(drain_beside(other, CHAIN_10.workflow, chains, idle))
            full.append(drain_beside(lab, CHAIN_10.workflow, chains, workers))

    rate = median(drained.per_second for drained in full)
    slower = rate / median(drained.per_second for drained in empty)
    cost = median(map(_cpu, full)) / median(map(_cpu, empty))
    yield Reading(name="history_count", value=count, unit="instances")
    yield Reading(name="history_steps_per_s", value=rate * CHAIN_10.steps, unit=RATE)
    yield Reading(name="history_throughput_to_empty", value=slower, unit=TIMES)
    yield Reading(name="history_cpu_per_step_to_empty", value=cost, unit="of empty")
    lab.reset()


def _cpu(drained: Drained) -> float:
    """Of worker and server; the clock may be coarser than what little was done."""
    return max(1.0, drained.costs["worker_cpu_us"] + drained.costs.get("server_cpu_us", 0))


MEASURES = (
    Measure(
        name="history", means="steps beside many instances that have ended", run=_history, once=True
    ),
)  # fmt: skip
