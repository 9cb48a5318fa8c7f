"""Tables, goals and comparisons of the benchmark, made of known values."""

from pathlib import Path

import pytest

from pg_durable.bench.figures import OF_LIMIT, RATE, TIMES, Figure
from pg_durable.bench.goals import GOALS, verdict
from pg_durable.bench.report import as_markdown, as_text, compare, judged, show_number
from pg_durable.bench.results import Results, keep, last_of, read_results
from pg_durable.bench.suite import against_limit, against_peers
from pg_durable.errors import NotFound


def figure(name: str, *values: float, unit: str = "ms") -> Figure:
    return Figure(name=name, unit=unit, values=values)


def results(*figures: Figure, when: str = "2026-01-02T03:04:05Z", full: bool = False) -> Results:
    return Results(
        about={"when": when, "pg_durable": "0.4.0, commit abc1234", "PostgreSQL": "18.6"},
        runs=3,
        scale=1.0,
        full=full,
        figures={figure.name: figure for figure in figures},
        failures=["held: WaitTimeout: not true"],
        peers={"dbos": "dbos 3.4.0; 2 processes; by steps"},
    )


@pytest.mark.parametrize(
    ("value", "shown"),
    [(12345.6, "12,346"), (123.4, "123"), (12.34, "12.3"), (1.234, "1.23"), (0.05, "0.05"),
     (0, "0"), (-123.4, "-123")],
)  # fmt: skip
def test_numbers_are_shown_with_three_digits(value: float, shown: str) -> None:
    assert show_number(value) == shown


def test_the_table_tells_ratios_first_then_figures_and_what_failed() -> None:
    text = as_text(
        results(
            figure("chain_10_steps_per_s", 4000, 5000, 6000, unit=RATE),
            figure("chain_10_of_limit", 0.55, unit=OF_LIMIT),
        )
    )

    lines = text.splitlines()
    ratio, rate = (
        next(n for n, line in enumerate(lines) if line.startswith(name))
        for name in ("chain_10_of_limit", "chain_10_steps_per_s")
    )
    assert ratio < rate
    assert lines[ratio].endswith("≥ 0.6 (target 0.75): NOT REACHED")
    assert lines[rate].split() == ["chain_10_steps_per_s", "5,000", "/s", "±", "20", "%"]
    assert "PostgreSQL:   18.6" in lines
    assert "dbos:         dbos 3.4.0; 2 processes; by steps" in lines
    assert lines[-1] == "NOT MEASURED  held: WaitTimeout: not true"


def test_the_table_for_documentation_has_the_same_rows() -> None:
    text = as_markdown(results(figure("idle_one_step_seen_p50_ms", 2.0)))

    assert "| `idle_one_step_seen_p50_ms` | 2.00 | ms |  | ≤ 2.5: reached |" in text
    assert "- PostgreSQL: 18.6" in text
    assert "Not measured: held" in text


def test_a_goal_is_a_bound_that_the_median_is_held_against() -> None:
    assert verdict(figure("starts_single_per_s", 1, 2000, 9999, unit=RATE), full=False) == (
        "≥ 2,000: reached"
    )
    assert verdict(figure("idle_one_step_seen_p99_ms", 10.1), full=False) == "≤ 10: NOT REACHED"
    assert verdict(figure("no_goal_for_this", 1), full=False) == ""


def test_goals_about_millions_say_when_it_was_not_millions() -> None:
    claim = figure("sleepers_claim_p99_ms", 1.0)

    assert verdict(claim, full=False) == "≤ 5: reached, short run"
    assert verdict(claim, full=True) == "≤ 5: reached"


def test_each_goal_has_one_bound() -> None:
    assert all((goal.least is None) != (goal.most is None) for goal in GOALS.values())


def test_a_change_counts_only_beyond_noise_and_both_spreads() -> None:
    before = figure("x_per_s", 90, 100, 110, unit=RATE)  # ± 10 %

    assert judged(before, figure("x_per_s", 115, unit=RATE)) == "better"
    assert judged(before, figure("x_per_s", 109, unit=RATE)) == "same"
    assert judged(before, figure("x_per_s", 85, unit=RATE)) == "WORSE"
    assert judged(figure("late", 10), figure("late", 8)) == "better"
    assert judged(figure("late", 10), figure("late", 10.4)) == "same"
    assert judged(figure("late", 10), figure("late", 12)) == "WORSE"
    assert judged(figure("late", 0), figure("late", 12)) == "same"  # nothing to compare with


def test_a_comparison_tells_the_ratio_of_what_both_runs_have() -> None:
    before = results(figure("late", 10), figure("gone", 1), when="2026-01-01T00:00:00Z")
    now = results(figure("late", 5), figure("new", 1))

    text = compare(before, now)

    assert "Compared with 2026-01-01T00:00:00Z" in text
    assert text.splitlines()[-1].split() == ["late", "10.0", "ms", "5.00", "0.50", "better"]
    assert "gone" not in text
    assert "new" not in text


def test_a_comparison_of_different_scales_warns() -> None:
    assert "different scales" in compare(results(full=True), results())


def test_rates_are_told_as_parts_of_the_limit_of_their_own_run() -> None:
    readings = list(against_limit({"one_step_steps_per_s": 500, "one_step_commits": 1}, 1000))

    assert [(reading.name, reading.value, reading.unit) for reading in readings] == [
        ("pgbench_limit_per_s", 1000, RATE),
        ("one_step_of_limit", 0.5, OF_LIMIT),
    ]


def test_peers_are_told_as_times_of_the_same_shape_of_work() -> None:
    rates = {"one_step_steps_per_s": 500.0, "pgqueuer_one_step_steps_per_s": 100.0}

    readings = list(against_peers(rates, ["pgqueuer", "dbos"]))

    assert [(reading.name, reading.value, reading.unit) for reading in readings] == [
        ("pgqueuer_one_step_times", 5, TIMES)
    ]


def test_kept_results_are_read_again_and_the_newest_is_the_last(tmp_path: Path) -> None:
    newer = results(figure("late", 1.0, 2.0))
    keep(newer, tmp_path)
    keep(results(when="2025-12-31T00:00:00Z"), tmp_path)

    assert last_of(tmp_path).name == "2026-01-02T03-04-05Z-abc1234.json"
    assert read_results(last_of(tmp_path)) == newer


def test_files_that_are_no_results_are_told_by_name(tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text("[1, 2]")

    with pytest.raises(NotFound, match="no file of results"):
        read_results(other)
    with pytest.raises(NotFound, match=r"none\.json cannot be read"):
        read_results(tmp_path / "none.json")
    with pytest.raises(NotFound, match="no results in"):
        last_of(tmp_path / "nowhere")
