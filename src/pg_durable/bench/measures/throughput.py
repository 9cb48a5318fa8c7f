"""Steps and instances a second, by the shape of the workflow, with one worker and with several."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pg_durable.bench.figures import RATE, TIMES, Reading
from pg_durable.bench.lab import Lab
from pg_durable.bench.measures.drain import Drained, dead_rows_of, drain
from pg_durable.bench.measures.measure import Measure

_STEP = "'select 1 as a'"
_WORKERS = (1, 2, 4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """Instances of one shape.

    Attributes:
        workflow: what is started, as an SQL expression.
        steps: the SQL statements that each instance runs.
        count: how many instances at scale one.
    """

    name: str
    means: str
    workflow: str
    steps: int
    count: int


def chain(length: int) -> str:
    """A workflow of so many steps one after the other."""
    return " ~> ".join([_STEP] * length)


ONE_STEP = Workload(
    name="one_step", means="instances of one step", workflow=_STEP, steps=1, count=10_000
)
CHAIN_10 = Workload(
    name="chain_10", means="chains of 10 steps", workflow=chain(10), steps=10, count=1_500
)
WORKLOADS = (
    ONE_STEP,
    Workload(name="chain_3", means="chains of 3 steps", workflow=chain(3), steps=3, count=3_000),
    CHAIN_10,
    Workload(
        name="chain_100", means="chains of 100 steps", workflow=chain(100), steps=100, count=100
    ),
    Workload(
        name="join_8",
        means="a join of 8 branches of one step",
        workflow=f"df.join(variadic array[{', '.join([_STEP] * 8)}])",
        steps=8,
        count=1_000,
    ),
    Workload(
        name="loop_10",
        means="a loop of 10 iterations, each with a step and a condition",
        workflow="""('select 0 as i' |=> 'i')
            ~> df.loop('select $i + 1 as i' |=> 'i', 'select $i < 10')""",
        steps=21,
        count=400,
    ),
    Workload(
        name="result_1kb",
        means="one step with a result of 1 KB",
        workflow="$$select repeat('x', 1024) as a$$",
        steps=1,
        count=5_000,
    ),
    Workload(
        name="result_1mb",
        means="one step with a result of 1 MB",
        workflow="$$select repeat('x', 1048576) as a$$",
        steps=1,
        count=50,
    ),
)
# Whose costs are told: what a step costs, and what an instance adds to it.
_COSTED = frozenset({"one_step", "chain_10"})


def readings_of(workload: Workload, drained: Drained) -> Iterable[Reading]:
    """A rate of steps (and of instances, where they have several), and what a step costs."""
    name, steps = workload.name, workload.steps
    yield Reading(name=f"{name}_steps_per_s", value=drained.per_second * steps, unit=RATE)
    if steps > 1:
        yield Reading(name=f"{name}_instances_per_s", value=drained.per_second, unit=RATE)
    if name not in _COSTED:
        return
    costs = {cost: spent / steps for cost, spent in drained.costs.items()}
    yield Reading(name=f"{name}_commits_per_step", value=costs["commits"], unit="commits")
    yield Reading(name=f"{name}_wal_bytes_per_step", value=costs["wal_bytes"], unit="bytes")
    yield Reading(name=f"{name}_worker_cpu_per_step", value=costs["worker_cpu_us"], unit="µs")
    if "server_cpu_us" in costs:
        yield Reading(name=f"{name}_server_cpu_per_step", value=costs["server_cpu_us"], unit="µs")


def _measure(workload: Workload) -> Callable[[Lab], Iterable[Reading]]:
    def run(lab: Lab) -> Iterable[Reading]:
        lab.reset()
        with lab.workers() as workers:
            drained = drain(lab, workload.workflow, lab.count(workload.count), workers)
        yield from readings_of(workload, drained)

    return run


def _signals(lab: Lab) -> Iterable[Reading]:
    count = lab.count(5_000)
    lab.reset()
    with lab.workers():
        lab.value(
            f"select count(df.start(df.wait_for_signal('go'))) from generate_series(1, {count})"
        )
        lab.wait_until_parked()
        lab.session.execute("analyze df.instances, df.nodes")
        begun = lab.value("select clock_timestamp()")
        lab.value("select count(df.signal(id, 'go')) from df.instances")
        lab.wait_until_done()
        seconds = lab.value(
            "select extract(epoch from max(completed_at) - %s)::float8 from df.instances", begun
        )
    yield Reading(name="signals_per_s", value=count / seconds, unit=RATE)


def _several_workers(lab: Lab) -> Iterable[Reading]:
    rates = {}
    for number in _WORKERS:
        lab.reset()
        with lab.workers(number) as workers:
            drained = drain(lab, CHAIN_10.workflow, lab.count(CHAIN_10.count), workers)
        rates[number] = drained.per_second * CHAIN_10.steps
        yield Reading(name=f"workers_{number}_steps_per_s", value=rates[number], unit=RATE)
    for number in _WORKERS[1:]:
        ratio = rates[number] / rates[_WORKERS[0]]
        yield Reading(name=f"workers_{number}_to_1", value=ratio, unit=TIMES)


def _dead_rows(lab: Lab) -> Iterable[Reading]:
    for workload in (ONE_STEP, CHAIN_10):
        rows = dead_rows_of(lab, workload.workflow, lab.count(200)) / workload.steps
        yield Reading(name=f"{workload.name}_dead_rows_per_step", value=rows, unit="rows")


MEASURES = (
    *(
        Measure(name=workload.name, means=workload.means, run=_measure(workload))
        for workload in WORKLOADS
    ),
    Measure(
        name="signals", means="signals sent at once to parked instances, until all ended",
        run=_signals,
    ),
    Measure(
        name="workers",
        means="chains of 10 with 1, 2 and 4 workers",
        run=_several_workers,
        once=True,
    ),
    Measure(
        name="dead_rows", means="versions of rows that a step leaves behind", run=_dead_rows,
        once=True,
    ),
)  # fmt: skip
