"""The suite on a server that is there: it leaves nothing behind, and survives what fails."""

from collections.abc import Iterable
from unittest import mock

import psycopg
import pytest

from pg_durable.bench import suite
from pg_durable.bench.figures import Reading
from pg_durable.bench.lab import Lab
from pg_durable.bench.measures import MEASURES, Measure
from pg_durable.bench.results import Results
from pg_durable.bench.suite import Plan, run_suite


def run(
    dsn: str,
    measures: dict[str, Measure],
    *,
    runs: int = 1,
    minutes: float = 5,
    repeat_long: bool = False,
) -> Results:
    plan = Plan(
        measures=list(measures),
        peers=[],
        runs=runs,
        scale=0.001,
        full=False,
        dsn=dsn,
        minutes=minutes,
        tell=lambda _: None,
        repeat_long=repeat_long,
    )
    with mock.patch.object(suite, "MEASURES", measures):
        return run_suite(plan)


def broken(lab: Lab) -> Iterable[Reading]:
    yield Reading(name="half", value=1, unit="ms")
    lab.session.execute("select 1 / 0")


def databases(dsn: str) -> set[str]:
    with psycopg.connect(dsn) as session:
        return {
            row[0]
            for row in session.execute(
                "select datname from pg_database where datname like 'pg_durable_bench%'"
            )
        }


def test_a_measure_that_fails_costs_no_other_measure_its_figures(database: str) -> None:
    before = databases(database)

    results = run(
        database,
        {"broken": Measure(name="broken", means="", run=broken), "starts": MEASURES["starts"]},
        runs=2,
    )

    [failure] = results.failures
    assert failure.startswith("broken: in run 1, DivisionByZero: division by zero")
    assert results.figures["half"].values == (1,)  # told before it failed, and not tried again
    assert len(results.figures["starts_bulk_per_s"].values) == 2
    assert len(results.figures["pgbench_limit_per_s"].values) == 2
    assert databases(database) <= before


@pytest.mark.parametrize(("repeat_long", "times"), [(False, 1), (True, 2)])
def test_measures_that_take_long_are_done_in_the_first_run_only_or_when_named(
    database: str, repeat_long: bool, times: int
) -> None:
    def quick(lab: Lab) -> Iterable[Reading]:
        yield Reading(name="quick", value=1, unit="ms")

    def long(lab: Lab) -> Iterable[Reading]:
        yield Reading(name="long", value=1, unit="ms")

    results = run(
        database,
        {
            "quick": Measure(name="quick", means="", run=quick),
            "long": Measure(name="long", means="", run=long, once=True),
        },
        runs=2,
        repeat_long=repeat_long,
    )

    assert len(results.figures["quick"].values) == 2
    assert len(results.figures["long"].values) == times


def test_nothing_is_begun_when_the_time_is_up(database: str) -> None:
    results = run(database, {"starts": MEASURES["starts"]}, minutes=0)

    assert not results.figures
    assert {failure.partition(":")[0] for failure in results.failures} == {"the limit", "starts"}
    assert all("the 0 minutes were up" in failure for failure in results.failures)


def test_an_interruption_keeps_what_was_measured(database: str) -> None:
    def interrupted(lab: Lab) -> Iterable[Reading]:
        raise KeyboardInterrupt

    results = run(
        database,
        {
            "starts": MEASURES["starts"],
            "interrupted": Measure(name="interrupted", means="", run=interrupted),
        },
    )

    assert "starts_single_per_s" in results.figures
    assert results.failures == ["the rest: interrupted"]
