"""Plots of results: throughput beside the limit and peers, latencies, sleepers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pg_durable.bench.figures import Figure
from pg_durable.bench.peers import PEERS
from pg_durable.bench.results import Results
from pg_durable.bench.suite import LIMIT
from pg_durable.errors import NotFound

_STEPS = "_steps_per_s"
_BINS = 40
_OURS = "#336791"


def require_plots() -> None:
    """See that plots can be drawn, before anything is measured for them.

    Raises:
        NotFound: matplotlib is not installed.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise NotFound(
            "Plots need matplotlib, which is not installed.",
            hint="Run: pip install 'pg-durable[bench]'",
        ) from None


def draw_plots(results: Results, folder: Path) -> list[Path]:
    """Draw what the results have figures for, as PNG; returns the files.

    Raises:
        NotFound: matplotlib is not installed.
    """
    require_plots()
    import matplotlib as mpl

    mpl.use("Agg")  # files only: there may be no screen
    folder.mkdir(parents=True, exist_ok=True)
    return list(_drawn(results, folder))


def _drawn(results: Results, folder: Path) -> Iterator[Path]:
    from matplotlib import pyplot

    for name, fill in (
        ("throughput", _throughput),
        ("latency", _latency),
        ("sleepers", _sleepers),
    ):
        figure, axes = pyplot.subplots(figsize=(9, 5), layout="constrained")
        if fill(axes, results.figures):
            figure.suptitle(_source(results), x=0.99, ha="right", fontsize=7, color="grey")
            file = folder / f"{name}.png"
            figure.savefig(file, dpi=120)
            yield file
        pyplot.close(figure)


def _throughput(axes: Any, figures: dict[str, Figure]) -> bool:
    rates = {name: figure for name, figure in figures.items() if name.endswith(_STEPS)}
    if not rates:
        return False
    if LIMIT in figures:
        rates[LIMIT] = figures[LIMIT]
    ordered = sorted(rates.items(), key=lambda item: item[1].median)
    labels = ["pgbench, the limit" if name == LIMIT else name.removesuffix(_STEPS).replace("_", " ")
              for name, _ in ordered]  # fmt: skip
    medians = [figure.median for _, figure in ordered]
    colours = [_colour(name) for name, _ in ordered]
    errors = [
        [figure.median - min(figure.values) for _, figure in ordered],
        [max(figure.values) - figure.median for _, figure in ordered],
    ]
    bars = axes.barh(labels, medians, xerr=errors, color=colours, ecolor="grey")
    axes.bar_label(bars, [f"{median:,.0f}" for median in medians], padding=8, fontsize=8)
    axes.set_xlabel("steps per second; the lines go from the lowest run to the highest")
    axes.set_title("Throughput")
    axes.margins(x=0.12)
    return True


def _latency(axes: Any, figures: dict[str, Figure]) -> bool:
    drawn = False
    for name, label in (
        ("idle_one_step_seen_p50_ms", "one step, idle, as a client sees it"),
        ("idle_three_steps_seen_p50_ms", "three steps, idle, as a client sees it"),
        ("half_load_p50_ms", "one step, at half of the load"),
        ("signal_to_resume_seen_p50_ms", "from a signal to the end of the step after it"),
    ):
        if name in figures and figures[name].samples:
            samples = figures[name].samples
            label += f": p50 {figures[name].median:.1f} ms"
            axes.hist(
                samples,
                bins=_bins(samples),
                weights=[100 / len(samples)] * len(samples),
                histtype="step",
                label=label,
            )
            drawn = True
    axes.set_xscale("log")
    axes.set_xlabel("milliseconds")
    axes.set_ylabel("percent")
    axes.set_title("Latency")
    if drawn:
        axes.legend(fontsize=8)
    return drawn


def _sleepers(axes: Any, figures: dict[str, Figure]) -> bool:
    names = ("sleepers_count", "sleepers_worker_memory_growth", "sleepers_wake_late_p50_ms")
    if not all(name in figures for name in names):
        return False
    count, growth, late = (figures[name] for name in names)
    axes.hist(late.samples, bins=_BINS, color=_OURS)
    axes.set_xlabel("milliseconds between when a sleep was over and when the instance had ended")
    axes.set_ylabel("instances")
    axes.set_title(
        f"Waking beside {count.median:,.0f} parked instances;"
        f" the worker's memory grew by {growth.median:.1f} MB"
    )
    return True


def _colour(name: str) -> str:
    if name == LIMIT:
        return "#b0b0b0"
    return "#c8763c" if any(name.startswith(f"{peer}_") for peer in PEERS) else _OURS


def _bins(samples: tuple[float, ...]) -> list[float]:
    """Edges that look evenly spaced on a logarithmic axis."""
    low, high = max(min(samples), 1e-3), max(max(samples), 2e-3)
    step = (high / low) ** (1 / _BINS) if high > low else 1.1
    return [low * step**number for number in range(_BINS + 1)]


def _source(results: Results) -> str:
    about = results.about
    return f"pg_durable {about['pg_durable']}, PostgreSQL {about['PostgreSQL']}, {about['CPU']}"
