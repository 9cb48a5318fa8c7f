"""Whether a series grows. Pure, and robust: no single sample decides anything.

A series has grown when both of these say so, by more than what is allowed:

- the median of its last third, compared with that of its first third;
- the Theil-Sen slope (the median of the slopes between all pairs of samples; Sen 1968), times
  the length of the series.

Allowed is a share of the first third's median, but at least the figure's floor: so that neither
noise of a small figure nor the steps of a coarse one count as growth. A saw-tooth, such as dead
rows between two vacuums, has no slope; an outlier moves no median.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

FEWEST = 6  # samples, for three thirds
_MOST_PAIRED = 200  # samples from which slopes are taken; 20,000 pairs tell enough


class Allowed(NamedTuple):
    """How much a figure may grow: a share of what it was, or the floor if that is more."""

    share: float
    floor: float


# What is judged. Nobody else's load changes the first group; the machine's does change latencies
# and the queue, hence their room.
ALLOWED: Mapping[str, Allowed] = {
    "worker memory, MB": Allowed(0.05, 3.0),
    "worker files": Allowed(0.0, 3.0),
    "worker threads": Allowed(0.0, 1.0),
    "server sessions": Allowed(0.0, 3.0),
    "server memory, MB": Allowed(0.10, 10.0),
    "locks": Allowed(0.5, 30.0),
    "advisory locks": Allowed(0.5, 5.0),
    "temporary files": Allowed(0.0, 1.0),
    "temporary files made": Allowed(0.5, 3.0),
    "prepared transactions": Allowed(0.0, 0.0),
    "tables, MB": Allowed(0.25, 5.0),
    "indexes, MB": Allowed(0.25, 5.0),
    "live rows": Allowed(0.25, 10_000.0),
    "dead rows": Allowed(0.5, 20_000.0),
    "WAL per instance, bytes": Allowed(0.25, 500.0),
    "commits per instance": Allowed(0.5, 2.0),  # claims and saves: fewer where they come in batches
    "worker CPU per instance, ms": Allowed(0.20, 0.2),
    "server CPU per instance, ms": Allowed(0.20, 0.2),
    "claim probe, ms": Allowed(0.5, 5.0),
    "unfinished": Allowed(0.5, 100.0),
    "queue": Allowed(0.5, 100.0),
    "latency p50, ms": Allowed(0.5, 25.0),
    "latency p95, ms": Allowed(0.5, 100.0),
    "latency p99, ms": Allowed(0.5, 250.0),
}
# Of what an open transaction keeps vacuum from removing: that these grow is no fault. The probe
# passes all of it, as claims do only now and then.
HELD_BACK = frozenset({"tables, MB", "indexes, MB", "dead rows", "live rows", "claim probe, ms"})
# Each table and index by itself.
OF_SIZES = Allowed(0.3, 5.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of one figure: its medians in the three thirds, and its slope."""

    name: str
    thirds: tuple[float, float, float]
    slope: float  # by which it grew from the first sample to the last, if evenly
    allowed: float | None
    grew: bool


def judge(
    name: str, times: Sequence[float], values: Sequence[float], allowed: Allowed | None
) -> Verdict:
    """Judge a series; without `allowed` it is only described.

    Raises:
        ValueError: it has fewer samples than `FEWEST`.
    """
    if len(values) < FEWEST:
        raise ValueError(f"{name} has {len(values)} samples; {FEWEST} are the fewest to judge.")
    third = len(values) // 3
    thirds = (
        float(median(values[:third])),
        float(median(values[third:-third])),
        float(median(values[-third:])),
    )
    slope = theil_sen(times, values) * (times[-1] - times[0])
    if allowed is None:
        return Verdict(name=name, thirds=thirds, slope=slope, allowed=None, grew=False)
    limit = max(allowed.share * abs(thirds[0]), allowed.floor)
    grew = thirds[2] - thirds[0] > limit and slope > limit
    return Verdict(name=name, thirds=thirds, slope=slope, allowed=limit, grew=grew)


def theil_sen(times: Sequence[float], values: Sequence[float]) -> float:
    """The median slope between pairs of samples, by unit of time."""
    every = -(-len(values) // _MOST_PAIRED)
    points = list(zip(times, values, strict=True))[::every]
    slopes = [
        (later - earlier) / (end - begin)
        for number, (begin, earlier) in enumerate(points)
        for end, later in points[number + 1 :]
        if end > begin
    ]
    return float(median(slopes)) if slopes else 0.0
