"""The judge of the soak: what grows is found, and what only moves is not."""

import random
from collections.abc import Callable

import pytest

from pg_durable.soak.judge import FEWEST, Allowed, judge, theil_sen

SAMPLES = 90
TIMES = [5.0 * number for number in range(SAMPLES)]
ALLOWED = Allowed(share=0.1, floor=2.0)


def _series(of: Callable[[int], float], noise: float = 0.0) -> list[float]:
    dice = random.Random(7)
    return [of(number) + dice.gauss(0, noise) for number in range(SAMPLES)]


@pytest.mark.parametrize(
    "series",
    [
        _series(lambda n: 100 + n / 4),
        _series(lambda n: 100 + n / 2, noise=10),
        _series(lambda n: 100 + n / 3 + 20 * (n % 10 == 0)),
        _series(lambda n: 50 * 1.01**n),
        _series(lambda n: 100 + 10 * (n // 20)),
        _series(lambda n: n / 2),
    ],
    ids=["a line", "a noisy line", "a line with outliers", "doubling", "steps", "from nothing"],
)
def test_what_grows_is_found(series: list[float]) -> None:
    assert judge("x", TIMES, series, ALLOWED).grew


@pytest.mark.parametrize(
    "series",
    [
        _series(lambda _: 100),
        _series(lambda _: 100, noise=20),
        _series(lambda n: 100 + 10 * (n % 12)),
        _series(lambda n: 100 + 5000 * (n in (70, 80, 88))),
        _series(lambda n: 200 - n),
        _series(lambda n: 100 + n / 20),
        _series(lambda n: n / 60),
        _series(lambda n: 100 + 30 * (n < 5)),
    ],
    ids=[
        "level", "noise", "a saw-tooth", "late outliers", "shrinking", "within the share",
        "within the floor", "an early hill",
    ],
)  # fmt: skip
def test_what_only_moves_is_not_said_to_grow(series: list[float]) -> None:
    assert not judge("x", TIMES, series, ALLOWED).grew


def test_where_nothing_is_allowed_a_series_is_described_and_not_judged() -> None:
    verdict = judge("x", TIMES, _series(lambda n: 100 + n), None)

    assert not verdict.grew
    assert verdict.thirds == (114.5, 144.5, 174.5)
    assert verdict.slope == pytest.approx(SAMPLES - 1)


def test_a_series_too_short_to_judge_is_refused() -> None:
    with pytest.raises(ValueError, match="6 are the fewest"):
        judge("x", TIMES[: FEWEST - 1], [1.0] * (FEWEST - 1), ALLOWED)


def test_the_slope_of_a_long_series_is_that_of_all_of_it() -> None:
    times = [float(number) for number in range(5000)]

    assert theil_sen(times, [3 * time for time in times]) == pytest.approx(3)
