"""Results for people: a table on the terminal, the same in Markdown, a comparison of two runs."""

from collections.abc import Iterable, Iterator

from pg_durable.bench.figures import OF_LIMIT, TIMES, Figure
from pg_durable.bench.goals import verdict
from pg_durable.bench.results import Results

_HEAD = ("measure", "median", "unit", "spread", "goal")
_RATIOS = (OF_LIMIT, TIMES)
_NOISE = 0.05  # less than that is no change


def show_number(value: float) -> str:
    """Three significant digits, or all of those before the point."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def rows_of(results: Results) -> Iterator[tuple[str, ...]]:
    """One row a figure: ratios first, since they hold on other machines, too."""
    ordered = sorted(results.figures.values(), key=lambda figure: figure.unit not in _RATIOS)
    for figure in ordered:
        yield (
            figure.name,
            show_number(figure.median),
            figure.unit,
            f"± {100 * figure.spread:.0f} %" if len(figure.values) > 1 else "",
            verdict(figure, full=results.full),
        )


def as_table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Columns of text, each as wide as its widest cell."""
    lines = [head, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    numbers = {1, 3}
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column in numbers else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def as_text(results: Results) -> str:
    """What the command prints."""
    about = "\n".join(f"{name + ':':13} {value}" for name, value in _about(results))
    failures = "".join(f"\nNOT MEASURED  {failure}" for failure in results.failures)
    return f"{about}\n\n{as_table(_HEAD, rows_of(results))}{failures}"


def as_markdown(results: Results) -> str:
    """The same for documentation."""
    lines = [f"- {name}: {value}" for name, value in _about(results)]
    lines += ["", f"| {' | '.join(_HEAD)} |", "|---|---:|---|---:|---|"]
    lines += [f"| {' | '.join((f'`{row[0]}`', *row[1:]))} |" for row in rows_of(results)]
    lines += [f"\nNot measured: {failure}" for failure in results.failures]
    return "\n".join(lines)


def compare(before: Results, now: Results) -> str:
    """The ratio of every figure that both have; what may be noise counts as the same."""
    rows = [
        _compared(before.figures[name], figure)
        for name, figure in now.figures.items()
        if name in before.figures
    ]
    title = f"Compared with {before.about['when']}, pg_durable {before.about['pg_durable']}"
    if (before.scale, before.full) != (now.scale, now.full):
        title += "\nBeware: the two have different scales."
    head = ("measure", "before", "unit", "now", "ratio")
    return f"{title}\n\n{as_table(head, rows)}"


def _compared(before: Figure, now: Figure) -> tuple[str, ...]:
    ratio = change(before, now)
    return (
        now.name,
        show_number(before.median),
        now.unit,
        show_number(now.median),
        f"{ratio:.2f} {judged(before, now)}" if ratio is not None else "",
    )


def change(before: Figure, now: Figure) -> float | None:
    """What a figure is in terms of what it was; None where it was nothing."""
    return now.median / before.median if before.median else None


def judged(before: Figure, now: Figure) -> str:
    """Better or worse, if the change is more than noise and the spread of both."""
    ratio = change(before, now)
    if ratio is None or abs(ratio - 1) <= max(_NOISE, before.spread + now.spread):
        return "same"
    return "better" if (ratio > 1) == now.more_is_better else "WORSE"


def _about(results: Results) -> Iterator[tuple[str, str]]:
    yield from results.about.items()
    how = f"{results.runs} runs, scale {results.scale:g}{', full' if results.full else ''}"
    yield "measured", how
    yield from results.peers.items()
