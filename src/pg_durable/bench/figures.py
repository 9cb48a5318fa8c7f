"""What a benchmark gives: readings of one run, and figures made of the readings of all runs."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

# Units of which more is better; of all others less is.
RATE = "/s"
OF_LIMIT = "of pgbench"
TIMES = "times"
_MORE_IS_BETTER = frozenset({RATE, OF_LIMIT, TIMES})

_MOST_SAMPLES = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One number from one run, with the single samples behind it where there are any."""

    name: str
    value: float
    unit: str
    samples: Sequence[float] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A quantity over all runs."""

    name: str
    unit: str
    values: tuple[float, ...]
    samples: tuple[float, ...] = ()

    @property
    def median(self) -> float:
        """What counts: one run that something disturbed does not move it."""
        return statistics.median(self.values)

    @property
    def spread(self) -> float:
        """Half of what lies between the lowest and the highest run, as a part of the median."""
        if not self.median:
            return 0.0
        return (max(self.values) - min(self.values)) / 2 / abs(self.median)

    @property
    def more_is_better(self) -> bool:
        """Whether a higher value is a better one."""
        return self.unit in _MORE_IS_BETTER

    def to_json(self) -> dict[str, Any]:
        """For the file of results."""
        document: dict[str, Any] = {
            "median": self.median,
            "unit": self.unit,
            "spread": round(self.spread, 4),
            "values": list(self.values),
        }
        if self.samples:
            document["samples"] = list(self.samples)
        return document

    @classmethod
    def from_json(cls, name: str, document: dict[str, Any]) -> "Figure":
        """What `to_json` has written."""
        return cls(
            name=name,
            unit=document["unit"],
            values=tuple(document["values"]),
            samples=tuple(document.get("samples", ())),
        )


def percentile(values: Sequence[float], part: float) -> float:
    """The smallest value that at least this part of all values does not exceed."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("no values")
    return ordered[max(0, -(-len(ordered) * int(part * 1000) // 1000) - 1)]


def latencies(name: str, samples: Sequence[float]) -> Iterable[Reading]:
    """p50, p95, p99 and the longest of some times in milliseconds."""
    for label, part in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
        yield Reading(
            name=f"{name}_{label}_ms",
            value=percentile(samples, part),
            unit="ms",
            samples=samples if label == "p50" else (),
        )
    yield Reading(name=f"{name}_max_ms", value=max(samples), unit="ms")


def gather(readings: Iterable[Reading]) -> dict[str, Figure]:
    """Put the readings of the same name together, in the order in which names first came."""
    grouped: dict[str, list[Reading]] = {}
    for reading in readings:
        grouped.setdefault(reading.name, []).append(reading)
    return {
        name: Figure(
            name=name,
            unit=group[0].unit,
            values=tuple(reading.value for reading in group),
            samples=_thinned([sample for reading in group for sample in reading.samples]),
        )
        for name, group in grouped.items()
    }


def _thinned(samples: Sequence[float]) -> tuple[float, ...]:
    """At most so many, evenly picked by rank, so that the shape stays."""
    ordered = sorted(samples)
    step = max(1.0, len(ordered) / _MOST_SAMPLES)
    picked = [ordered[int(i * step)] for i in range(min(len(ordered), _MOST_SAMPLES))]
    if ordered:
        picked[-1] = ordered[-1]
    return tuple(round(sample, 4) for sample in picked)
