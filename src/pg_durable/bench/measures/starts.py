"""Starts a second from one session: each in a transaction of its own, and many in one."""

import time
from collections.abc import Iterable

from pg_durable.bench.figures import RATE, Reading
from pg_durable.bench.lab import Lab
from pg_durable.bench.measures.measure import Measure


def _starts(lab: Lab) -> Iterable[Reading]:
    count = lab.count(20_000)
    lab.reset()
    begun = time.perf_counter()
    lab.value(f"select count(df.start('select 1')) from generate_series(1, {count})")
    taken = time.perf_counter() - begun
    yield Reading(name="starts_bulk_per_s", value=count / taken, unit=RATE)

    count = lab.count(3_000)
    lab.reset()
    begun = time.perf_counter()
    for _ in range(count):
        lab.session.execute("select df.start('select 1')")
    taken = time.perf_counter() - begun
    yield Reading(name="starts_single_per_s", value=count / taken, unit=RATE)
    lab.reset()


MEASURES = (Measure(name="starts", means="df.start from one session", run=_starts),)
