"""Starting many instances at once, and what they take and cost from then to the last one's end."""

from collections.abc import Iterator
from dataclasses import dataclass

import psutil
import psycopg

from pg_durable.bench.counters import changed_rows
from pg_durable.bench.lab import Lab

MILLION = 1_000_000
PATIENCE = 1800.0  # seconds for as many
_BATCH = 50_000
_WARM_UP = 100
_START = "select count(df.start({workflow})) from generate_series(1, {count})"
_LAST = """
    select greatest(extract(epoch from max(completed_at) - %s::timestamptz), 1e-6)::float8
    from df.instances
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drained:
    """How fast `count` instances were run, and what each of them cost."""

    per_second: float
    costs: dict[str, float]


def start_many(lab: Lab, workflow: str, count: int) -> None:
    """Start so many in one transaction. The planner knows of them as soon as workers do."""
    with lab.session.transaction():
        lab.value(_START.format(workflow=workflow, count=count))
        lab.session.execute("analyze df.instances, df.nodes")


def batches(count: int) -> Iterator[int]:
    """How many to start at a time, where they are too many for one transaction."""
    for first in range(0, count, _BATCH):
        yield min(_BATCH, count - first)


def settle(lab: Lab) -> None:
    """Do what the server would do by itself, in the middle of what follows."""
    lab.session.execute("vacuum (analyze) df.instances, df.nodes")
    lab.session.execute("checkpoint")


def warm_up(lab: Lab, workflow: str, count: int) -> None:
    """Let workers open their sessions and the server cache its plans; leave nothing behind."""
    start_many(lab, workflow, min(count, _WARM_UP))
    lab.wait_until_done()
    lab.reset()


def drain(lab: Lab, workflow: str, count: int, workers: list[psutil.Process]) -> Drained:
    """Run so many instances on an otherwise empty system, after some that warm it up."""
    warm_up(lab, workflow, count)
    return drain_beside(lab, workflow, count, workers)


def drain_beside(lab: Lab, workflow: str, count: int, workers: list[psutil.Process]) -> Drained:
    """Run so many instances beside those that are there, with workers that are idle.

    Time and costs begin with the commit of the starts, and what came before it is the starter's.
    """
    with lab.session.transaction():
        lab.value(_START.format(workflow=workflow, count=count))
        lab.session.execute("analyze df.instances, df.nodes")
        before = lab.counters(workers)
    begun = lab.value("select clock_timestamp()")
    lab.wait_until_done()
    after = lab.counters(workers)
    seconds = lab.value(_LAST, begun)
    costs = {name: spent / count for name, spent in after.since(before).items()}
    if lab.postmaster is None:  # its CPU is none of what can be seen here
        del costs["server_cpu_us"]
    return Drained(per_second=count / seconds, costs=costs)


def dead_rows_of(lab: Lab, workflow: str, count: int) -> float:
    """Versions of rows that each instance leaves behind.

    Counted when all sessions have ended: living ones report up to ten seconds late.
    """
    lab.reset()
    with psycopg.connect(lab.dsn, autocommit=True) as apart:
        apart.execute(_START.format(workflow=workflow, count=count))
    before = changed_rows(lab.session)
    with lab.workers():
        lab.wait_until_done()
    return (changed_rows(lab.session) - before) / count
