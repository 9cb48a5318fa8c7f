"""Running the suite: each run measures the limit, everything asked for, and the limit again."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from pg_durable.bench.figures import OF_LIMIT, RATE, TIMES, Reading, gather
from pg_durable.bench.lab import Lab
from pg_durable.bench.limit import measure_limit, prepare_limit
from pg_durable.bench.machine import describe
from pg_durable.bench.measures import MEASURES
from pg_durable.bench.peers import PEERS, measure_peer
from pg_durable.bench.place import scratch_database, scratch_server
from pg_durable.bench.results import Results
from pg_durable.schema import install

_STEPS = "_steps_per_s"
LIMIT = "pgbench_limit_per_s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to measure, and how thoroughly.

    Attributes:
        minutes: nothing more is begun after this time.
        tell: hears what is being done.
        repeat_long: whether measures that take long are done in each run too.
    """

    measures: Sequence[str]
    peers: Sequence[str]
    runs: int
    scale: float
    full: bool
    dsn: str | None
    minutes: float
    tell: Callable[[str], None]
    repeat_long: bool = False


def run_suite(plan: Plan) -> Results:
    """Measure. What fails is told in the results, and everything else is there all the same.

    Raises:
        PgDurableError: there is no server to measure on.
    """
    with scratch_server(plan.dsn) as server, scratch_database(server, "own") as dsn:
        install(dsn)
        return _Suite(plan, server, dsn).run()


class _Suite:
    def __init__(self, plan: Plan, server: str, dsn: str) -> None:
        self._plan = plan
        self._server = server
        self._dsn = dsn
        self._end = time.monotonic() + 60 * plan.minutes
        self._failed: dict[str, str] = {}
        self._readings: list[Reading] = []
        self._number = 1  # of the run

    def run(self) -> Results:
        with Lab(self._dsn) as lab:
            about = describe(lab.session)
        self._attempt("the limit", self._prepare_limit)
        done = 0
        try:
            for number in range(self._plan.runs):
                self._run(number)
                done += 1
        except KeyboardInterrupt:
            self._failed["the rest"] = "interrupted"
        return Results(
            about=about,
            runs=done,
            scale=self._plan.scale,
            full=self._plan.full,
            figures=gather(self._readings),
            failures=[f"{what}: {why}" for what, why in self._failed.items()],
            peers={name: PEERS[name].described() for name in self._plan.peers},
        )

    def _run(self, number: int) -> None:
        self._number = number + 1
        first = len(self._readings)
        limits = list(self._limit(number))
        try:
            for name in self._plan.measures:
                measure = MEASURES[name]
                if number == 0 or self._plan.repeat_long or not measure.once:
                    self._measure(number, name, measure.run)
            for name in self._plan.peers:
                self._tell(number, f"peer {name}")
                work = partial(measure_peer, PEERS[name], self._server, self._plan.scale)
                self._attempt(f"peer {name}", work)
            limits += self._limit(number)
        finally:  # also of a run that was interrupted
            rates = {reading.name: reading.value for reading in self._readings[first:]}
            if limits:
                self._readings += against_limit(rates, sum(limits) / len(limits))
            self._readings += against_peers(rates, self._plan.peers)

    def _measure(self, number: int, name: str, run: Callable[[Lab], Iterable[Reading]]) -> None:
        def measured() -> Iterator[Reading]:
            with self._lab() as lab:
                yield from run(lab)

        self._tell(number, name)
        self._attempt(name, measured)

    def _limit(self, number: int) -> Iterator[float]:
        def measured() -> Iterator[Reading]:
            with self._lab() as lab:
                limit = measure_limit(lab)
            yield Reading(name="", value=limit, unit=RATE)

        self._tell(number, "the limit")
        before = len(self._readings)
        self._attempt("the limit", measured)
        for reading in self._readings[before:]:
            yield reading.value
        del self._readings[before:]

    def _prepare_limit(self) -> Iterator[Reading]:
        with self._lab() as lab:
            prepare_limit(lab)
        yield from ()

    def _lab(self) -> Lab:
        return Lab(self._dsn, scale=self._plan.scale, full=self._plan.full)

    def _attempt(self, what: str, work: Callable[[], Iterable[Reading]]) -> None:
        """Take the readings as they come. What has failed once is not tried again."""
        if what in self._failed:
            return
        if time.monotonic() > self._end:
            why = f"not begun, the {self._plan.minutes:g} minutes were up"
            self._failed[what] = f"in run {self._number}, {why}"
            return
        try:
            for reading in work():
                self._readings.append(reading)
                if reading.name:
                    self._plan.tell(f"    {reading.name}  {reading.value:,.4g} {reading.unit}")
        except Exception as error:  # whatever it is, the other measures go on
            why = f"{type(error).__name__}: {' '.join(str(error).split())}"
            self._failed[what] = f"in run {self._number}, {why}"
            self._plan.tell(f"    FAILED: {self._failed[what]}")

    def _tell(self, number: int, what: str) -> None:
        self._plan.tell(f"run {number + 1} of {self._plan.runs}: {what}")


def against_limit(rates: dict[str, float], limit: float) -> Iterator[Reading]:
    """The limit itself, and every rate of steps as a part of it."""
    yield Reading(name=LIMIT, value=limit, unit=RATE)
    for name, rate in rates.items():
        if name.endswith(_STEPS):
            yield Reading(
                name=name.removesuffix(_STEPS) + "_of_limit", value=rate / limit, unit=OF_LIMIT
            )


def against_peers(rates: dict[str, float], peers: Iterable[str]) -> Iterator[Reading]:
    """How many times as many steps a second as each peer."""
    for peer in peers:
        for workload in ("one_step", "chain_10"):
            own = rates.get(workload + _STEPS)
            other = rates.get(f"{peer}_{workload}{_STEPS}")
            if own and other:
                yield Reading(name=f"{peer}_{workload}_times", value=own / other, unit=TIMES)
