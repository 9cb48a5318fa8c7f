"""How long single things take: on an idle system, under load, after a signal, by the clock.

`seen` is what a client sees: from sending df.start until a query finds the instance completed, the
commits of both included. Without it: by the server's clock, from one row's created_at to its
completed_at. The client asks again after a tenth of a millisecond: `seen` is too long by a quarter
of one at most. What a machine at rest takes for anything durable, one row inserted by the same
client, is told beside it.
"""

import time
from collections.abc import Iterable
from threading import Event, Thread

import psycopg

from pg_durable.bench.figures import RATE, Reading, latencies
from pg_durable.bench.lab import Lab
from pg_durable.bench.measures.drain import warm_up
from pg_durable.bench.measures.measure import Measure
from pg_durable.bench.measures.throughput import ONE_STEP, chain
from pg_durable.errors import WaitTimeout

_POLL = 0.0001
_BACK_TO_IDLE = 0.03
_TICK = 0.005
_START_SOME = "select count(df.start('select 1 as a')) from generate_series(1, %s)"
_PATIENCE = 30.0
# How many are unfinished while it is found out how many can be started and run.
_BACKLOG = 500
_BATCH = 25
_UNFINISHED = "select count(*) from df.instances where status in ('pending', 'running')"
_TOOK = """
    select (1000 * extract(epoch from completed_at - created_at))::float8 from df.instances
    where completed_at is not null
"""
_LATE = """
    select (1000 * extract(epoch from i.completed_at - n.created_at) - %s)::float8
    from df.instances i
    join df.nodes n on n.instance_id = i.id and n.id = i.root_node
"""


def _seen_completed(lab: Lab, instance: str) -> None:
    end = time.monotonic() + _PATIENCE
    while lab.value("select status from df.instances where id = %s", instance) != "completed":
        if time.monotonic() > end:
            raise WaitTimeout(f"Instance {instance} is not completed after {_PATIENCE:.0f} s.")
        time.sleep(_POLL)


def _idle(lab: Lab) -> Iterable[Reading]:
    yield from latencies("idle_insert_seen", _inserts(lab))
    for name, workflow in (("one_step", chain(1)), ("three_steps", chain(3))):
        lab.reset()
        with lab.workers():
            warm_up(lab, workflow, lab.count(100))
            seen = []
            for _ in range(lab.count(200)):
                time.sleep(_BACK_TO_IDLE)
                begun = time.perf_counter()
                instance = lab.value(f"select df.start({workflow})")
                _seen_completed(lab, instance)
                seen.append(1000 * (time.perf_counter() - begun))
            by_server = lab.column(_TOOK)
        yield from latencies(f"idle_{name}_seen", seen)
        yield from latencies(f"idle_{name}", by_server)


def _inserts(lab: Lab) -> list[float]:
    lab.session.execute("create table bench_inserts (at timestamptz)")
    taken = []
    for _ in range(lab.count(200)):
        time.sleep(_BACK_TO_IDLE)
        begun = time.perf_counter()
        lab.session.execute("insert into bench_inserts values (now())")
        taken.append(1000 * (time.perf_counter() - begun))
    lab.session.execute("drop table bench_inserts")
    return taken


def _under_load(lab: Lab) -> Iterable[Reading]:
    lab.reset()
    with lab.workers():
        warm_up(lab, ONE_STEP.workflow, lab.count(3_000))
        peak = _sustained(lab, lab.seconds(3))
        lab.reset()
        _start_steadily(lab, peak / 2, lab.seconds(3))
        lab.wait_until_done()
        took = lab.column(_TOOK)
    yield Reading(name="half_load_starts_per_s", value=peak / 2, unit=RATE)
    yield from latencies("half_load", took)


def _sustained(lab: Lab, seconds: float) -> float:
    """How many a second it can both start and run, one of which keeps up with the other."""
    begun = time.monotonic()
    while time.monotonic() - begun < seconds:
        if lab.value(_UNFINISHED) < _BACKLOG:
            lab.value(_START_SOME, _BATCH)
        else:
            time.sleep(_TICK / 5)
    lab.wait_until_done()
    count: int = lab.value("select count(*) from df.instances")
    return count / (time.monotonic() - begun)


def _start_steadily(lab: Lab, per_second: float, seconds: float) -> None:
    """Start instances at a rate, whether or not those before have ended."""
    begun = time.monotonic()
    started = 0
    while (elapsed := time.monotonic() - begun) < seconds:
        due = int(elapsed * per_second) - started
        if due > 0:
            lab.value(_START_SOME, due)
            started += due
        time.sleep(_TICK)


def _signals(lab: Lab) -> Iterable[Reading]:
    lab.reset()
    with lab.workers():
        taken = []
        for _ in range(lab.count(50)):
            instance = lab.value("select df.start(df.wait_for_signal('go') ~> 'select 1')")
            lab.wait_for(
                "select worker is null and status = 'running' from df.instances where id = %s",
                instance,
            )
            begun = time.perf_counter()
            lab.value("select df.signal(%s, 'go')", instance)
            _seen_completed(lab, instance)
            taken.append(1000 * (time.perf_counter() - begun))
    yield from latencies("signal_to_resume_seen", taken)


def _timers(lab: Lab) -> Iterable[Reading]:
    """Sleepers of a second, started one after the other; how much longer than that they take."""
    lab.reset()
    with lab.workers():
        warm_up(lab, ONE_STEP.workflow, lab.count(100))
        stop = Event()
        waker = Thread(target=_busy_with_others, args=(lab.dsn, stop), daemon=True)
        waker.start()
        try:
            for _ in range(lab.count(100)):
                lab.value("select df.start(df.sleep(1))")
                time.sleep(0.01)
            lab.wait_until_done()
        finally:
            stop.set()
            waker.join()
        late = lab.column(_LATE + " where n.node_type = 'SLEEP'", 1000)
    yield from latencies("timer_late", late)


def _busy_with_others(dsn: str, stop: Event) -> None:
    """One start in fifty milliseconds beside the sleepers, as on a system in use."""
    with psycopg.connect(dsn, autocommit=True) as session:
        while not stop.wait(0.05):
            session.execute("select df.start('select 1')")


MEASURES = (
    Measure(name="idle", means="one step, and three, on an idle system", run=_idle),
    Measure(
        name="half_load", means="one step at half of what can be started and run", run=_under_load
    ),
    Measure(
        name="signal_to_resume", means="a signal, until the step after it has run", run=_signals
    ),
    Measure(name="timers", means="how late a sleep of a second ends", run=_timers),
)
