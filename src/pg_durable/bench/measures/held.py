"""A transaction held open under load: no row that was updated since it began can be removed."""

import time
from collections import deque
from collections.abc import Iterable
from threading import Event, Thread

import psycopg

from pg_durable.bench.figures import RATE, Reading
from pg_durable.bench.lab import Lab
from pg_durable.bench.measures.measure import Measure
from pg_durable.bench.measures.throughput import chain

_LENGTH = 3
_BATCH = 500
_AHEAD = 3  # batches that wait or run
_LAST_PART = 4  # the throughput of the last quarter counts
_START = f"select df.start({chain(_LENGTH)}) from generate_series(1, {_BATCH})"
_DONE = "select bool_and(status = 'completed') from df.instances where id = any(%s)"
_RATE = """
    select count(*) / extract(epoch from %(until)s - %(since)s)::float8
    from df.instances
    where completed_at between %(since)s and %(until)s
"""


def _held(lab: Lab) -> Iterable[Reading]:
    seconds = 180.0 if lab.full else lab.seconds(12, least=2.0)
    free = _under_load(lab, seconds, held=False)
    held = _under_load(lab, seconds, held=True)
    yield Reading(name="held_for", value=seconds, unit="s")
    yield Reading(name="held_steps_per_s", value=held, unit=RATE)
    yield Reading(name="held_throughput_falls_by", value=100 * (1 - held / free), unit="%")


def _under_load(lab: Lab, seconds: float, *, held: bool) -> float:
    """Steps a second in the last quarter of the time."""
    lab.reset()
    stop = Event()
    feeder = Thread(target=_feed, args=(lab.dsn, stop), daemon=True)
    with psycopg.connect(lab.dsn, autocommit=not held) as holder, lab.workers():
        if held:
            holder.execute("set transaction isolation level repeatable read")
        holder.execute("select txid_current()")  # takes the snapshot, and a number
        feeder.start()
        try:
            time.sleep(seconds * (1 - 1 / _LAST_PART))
            since = lab.value("select clock_timestamp()")
            time.sleep(seconds / _LAST_PART)
            until = lab.value("select clock_timestamp()")
        finally:
            stop.set()
            feeder.join()
        lab.wait_until_done()
        row = lab.session.execute(_RATE, {"since": since, "until": until}).fetchone()
        holder.rollback()
    assert row is not None
    return float(row[0] * _LENGTH)


def _feed(dsn: str, stop: Event) -> None:
    """Keep some batches waiting. Whether one is done is asked by key of a few of its instances,
    since a search through all rows would slow down with them, and be measured, too."""
    with psycopg.connect(dsn, autocommit=True) as session:
        under_way: deque[list[str]] = deque()
        while not stop.wait(0.01):
            while len(under_way) < _AHEAD:
                started = [row[0] for row in session.execute(_START)]
                under_way.append(started[:: _BATCH // 10])
            row = session.execute(_DONE, [under_way[0]]).fetchone()
            if row is not None and row[0]:
                under_way.popleft()


MEASURES = (
    Measure(name="held", means="throughput while a transaction is held open", run=_held, once=True),
)
