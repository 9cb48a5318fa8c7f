"""What a soak has found: a table to read, and one JSON document with every sample."""

from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from pg_durable.soak.judge import ALLOWED, FEWEST, HELD_BACK, OF_SIZES, Verdict, judge
from pg_durable.soak.window import Window


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The outcome of a soak.

    Attributes:
        about: programs, machine and options.
        peak, rate: instances a second, at most and as driven.
        peak_after: at most with the open transaction that was held, if one was.
        opened_at: seconds after the load began, of that transaction.
        left: instances that did not end in time.
        steps, effects: how many steps were to take effect, and how many did.
        windows: all samples; the first `warming` seconds of them are not judged.
    """

    about: dict[str, object]
    peak: float
    rate: float
    peak_after: float | None
    opened_at: float | None
    left: int
    instances: int
    steps: int
    effects: int
    warming: float
    windows: list[Window]
    worker_died: bool

    def verdicts(self) -> list[Verdict]:
        """Each figure judged, and then each table and index of the schema that has a size."""
        steady = [window for window in self.windows if window.at >= self.warming]
        series: dict[str, tuple[list[float], list[float]]] = {}
        for row in steady:
            named = [*row.figures.items(), *((f"size of {n}, MB", s) for n, s in row.sizes.items())]
            for name, value in named:
                times, values = series.setdefault(name, ([], []))
                times.append(row.at)
                values.append(value)
        return [
            judge(name, times, values, self._allowed(name))
            for name, (times, values) in series.items()
            if len(values) >= FEWEST and (not name.startswith("size of") or max(values) >= 1)
        ]

    def _allowed(self, name: str) -> Any:
        of_size = name.startswith("size of")
        if self.opened_at is not None and (of_size or name in HELD_BACK):
            return None
        return OF_SIZES if of_size else ALLOWED.get(name)

    def faults(self) -> list[str]:
        """What is wrong, in words; empty when all is well."""
        faults = [
            f"{verdict.name} grew from {_shown(verdict.thirds[0])} to"
            f" {_shown(verdict.thirds[2])}; {_shown(verdict.allowed or 0.0)} more are allowed"
            for verdict in self.verdicts()
            if verdict.grew
        ]
        if self.worker_died:
            faults.append("a worker ended")
        if self.left:
            faults.append(f"{self.left} of {self.instances} instances have not ended")
        elif self.effects != self.steps:
            faults.append(f"{self.effects} steps took effect, of {self.steps}")
        return faults

    def document(self) -> dict[str, object]:
        """Everything, for JSON."""
        return {
            **asdict(self),
            "verdicts": [asdict(verdict) for verdict in self.verdicts()],
            "faults": self.faults(),
        }

    def print(self, console: Console) -> None:
        """The table, and below it what is wrong."""
        table = Table(title="medians in thirds of the judged time, and whether they grew")
        for column in ("figure", "first", "middle", "last", "slope x time", "allowed", ""):
            figures = column not in ("figure", "")
            table.add_column(column, justify="right" if figures else "left", no_wrap=True)
        for verdict in self.verdicts():
            judged = verdict.allowed is not None
            table.add_row(
                verdict.name,
                *[_shown(value) for value in verdict.thirds],
                _shown(verdict.slope),
                _shown(verdict.allowed) if verdict.allowed is not None else "",
                "[red]grew[/red]" if verdict.grew else "flat" if judged else "not judged",
            )
        console.print(table)
        console.print(
            f"{self.instances:,} instances at {self.rate:.1f} a second"
            f" (peak {self.peak:.1f}), {self.effects:,} of {self.steps:,} steps took effect,"
            f" {self.left} instances left."
        )
        if self.peak_after is not None:
            console.print(
                f"With the transaction open: peak {self.peak_after:.1f} a second,"
                f" {100 * (self.peak_after / self.peak - 1):+.0f} %."
            )
        for fault in self.faults():
            console.print(f"[red]✗[/red] {fault}")
        if not self.faults():
            console.print("[green]✓[/green] Nothing grew, nothing is lost or doubled.")


def _shown(value: float) -> str:
    return f"{value:,.2f}" if abs(value) < 100 else f"{value:,.0f}"
