"""What the time between two looks comes to: rates, costs and latencies beside the levels."""

from dataclasses import dataclass

from pg_durable.soak.look import Look


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """One row of the series: seconds since the load began, and figures by name."""

    at: float
    figures: dict[str, float]
    sizes: dict[str, float]


def window(before: Look, after: Look, begun: float, instances: int, behind: int) -> Window:
    """Make one of two looks, between which so many instances were started."""
    seconds = after.at - before.at
    spent = {name: after.totals[name] - before.totals[name] for name in after.totals}
    cores = seconds or 1.0
    ours = spent["worker_cpu"] + spent["server_cpu"] + spent["own_cpu"]
    figures = dict(after.levels)
    figures["starts behind"] = behind
    figures["starts/s"] = instances / cores
    figures["temporary files made"] = spent["temp_files"]
    figures["vacuums"] = spent["vacuums"]
    figures["cores busy with others"] = max(spent["all_cpu"] - ours, 0.0) / cores
    if instances:
        figures["WAL per instance, bytes"] = spent["wal"] / instances
        figures["commits per instance"] = spent["commits"] / instances
        figures["worker CPU per instance, ms"] = 1000 * spent["worker_cpu"] / instances
        figures["server CPU per instance, ms"] = 1000 * spent["server_cpu"] / instances
    if after.latencies:
        ordered = sorted(after.latencies)
        figures["latency p50, ms"] = _quantile(ordered, 0.5)
        figures["latency p95, ms"] = _quantile(ordered, 0.95)
        figures["latency p99, ms"] = _quantile(ordered, 0.99)
    return Window(at=after.at - begun, figures=figures, sizes=after.sizes)


def _quantile(ordered: list[float], share: float) -> float:
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]
