"""Statistics of the benchmark, with values known from the definitions."""

import pytest

from pg_durable.bench.figures import RATE, Figure, Reading, gather, latencies, percentile


def figure(*values: float, unit: str = "ms") -> Figure:
    return Figure(name="it", unit=unit, values=values)


def test_the_median_ignores_a_run_that_was_disturbed() -> None:
    assert figure(10, 11, 1000).median == 11
    assert figure(10, 20).median == 15


def test_the_spread_is_half_of_the_range_as_a_part_of_the_median() -> None:
    assert figure(90, 100, 110).spread == pytest.approx(0.1)
    assert figure(5).spread == 0
    assert figure(0, 0).spread == 0


@pytest.mark.parametrize(
    ("part", "value"), [(0.5, 50), (0.95, 95), (0.99, 99), (0.999, 100), (1.0, 100), (0.001, 1)]
)
def test_a_percentile_is_the_smallest_value_that_so_many_do_not_exceed(
    part: float, value: float
) -> None:
    hundred = [float(n) for n in range(100, 0, -1)]

    assert percentile(hundred, part) == value


def test_the_percentile_of_one_value_is_that_value() -> None:
    assert percentile([7.0], 0.5) == percentile([7.0], 0.99) == 7.0


def test_there_is_no_percentile_of_nothing() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)


def test_latencies_are_told_by_four_numbers_and_keep_their_samples_once() -> None:
    readings = list(latencies("idle", [3.0, 1.0, 2.0]))

    assert [(reading.name, reading.value) for reading in readings] == [
        ("idle_p50_ms", 2.0),
        ("idle_p95_ms", 3.0),
        ("idle_p99_ms", 3.0),
        ("idle_max_ms", 3.0),
    ]
    assert [len(reading.samples) for reading in readings] == [3, 0, 0, 0]


def test_readings_of_the_same_name_become_one_figure() -> None:
    figures = gather(
        [
            Reading(name="a_per_s", value=1, unit=RATE),
            Reading(name="late", value=5, unit="ms", samples=[9.0, 1.0]),
            Reading(name="a_per_s", value=3, unit=RATE),
        ]
    )

    assert list(figures) == ["a_per_s", "late"]
    assert figures["a_per_s"].values == (1, 3)
    assert figures["a_per_s"].more_is_better
    assert figures["late"].samples == (1.0, 9.0)
    assert not figures["late"].more_is_better


def test_many_samples_are_thinned_and_keep_the_longest() -> None:
    many = [float(n) for n in range(100_000)]

    [figure] = gather([Reading(name="late", value=0, unit="ms", samples=many)]).values()

    assert len(figure.samples) == 2000
    assert figure.samples[0] == 0
    assert figure.samples[-1] == 99_999
    assert percentile(figure.samples, 0.5) == pytest.approx(50_000, rel=0.01)


def test_a_figure_is_the_same_after_a_file() -> None:
    before = Figure(name="late", unit="ms", values=(1.0, 2.0), samples=(0.5,))

    assert Figure.from_json("late", before.to_json()) == before
