"""What the project has set itself to reach, and whether a run of the suite shows it."""

from collections.abc import Mapping
from dataclasses import dataclass

from pg_durable.bench.figures import Figure


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """A bound for one figure.

    Attributes:
        target: what would be better still.
        full_only: it is about millions or minutes, which only `--full` measures; a shorter run
            says whether it can be reached at all.
    """

    figure: str
    least: float | None = None
    most: float | None = None
    target: float | None = None
    full_only: bool = False

    def is_reached(self, value: float) -> bool:
        """Whether this value is within the bound."""
        if self.least is not None:
            return value >= self.least
        return self.most is None or value <= self.most

    def __str__(self) -> str:
        sign, bound = ("≥", self.least) if self.least is not None else ("≤", self.most)
        target = f" (target {self.target:g})" if self.target is not None else ""
        return f"{sign} {bound:,g}{target}"


GOALS: Mapping[str, Goal] = {
    goal.figure: goal
    for goal in (
        Goal(figure="chain_10_of_limit", least=0.6, target=0.75),
        Goal(figure="one_step_of_limit", least=0.4, target=0.5),
        Goal(figure="dbos_chain_10_times", least=10),
        Goal(figure="dbos_one_step_times", least=10),
        Goal(figure="duroxide_chain_10_times", least=10),
        Goal(figure="duroxide_one_step_times", least=10),
        Goal(figure="absurd_chain_10_times", least=5),
        Goal(figure="absurd_one_step_times", least=5),
        # Claims and what an instance is begun with are shared by many steps.
        Goal(figure="one_step_commits_per_step", most=1.05),
        Goal(figure="one_step_wal_bytes_per_step", most=1_200),
        Goal(figure="chain_10_commits_per_step", most=1.05),
        Goal(figure="chain_10_wal_bytes_per_step", most=1_200),
        Goal(figure="idle_one_step_seen_p50_ms", most=2.5),
        Goal(figure="idle_one_step_seen_p99_ms", most=10),
        Goal(figure="idle_three_steps_seen_p50_ms", most=4),
        Goal(figure="idle_statements_per_second", most=3),
        Goal(figure="starts_single_per_s", least=2_000),
        Goal(figure="starts_bulk_per_s", least=15_000),
        # The allocator takes memory in pieces: a few MB are no growth with the number.
        Goal(figure="sleepers_worker_memory_growth", most=5, full_only=True),
        Goal(figure="sleepers_claim_p99_ms", most=5, full_only=True),
        Goal(figure="sleepers_wake_late_p99_ms", most=100, full_only=True),
        Goal(figure="held_throughput_falls_by", most=20, full_only=True),
        Goal(figure="history_cpu_per_step_to_empty", most=1.1, full_only=True),
    )
}


def verdict(figure: Figure, *, full: bool) -> str:
    """The goal for this figure and whether it is reached; empty where there is none."""
    goal = GOALS.get(figure.name)
    if goal is None:
        return ""
    reached = "reached" if goal.is_reached(figure.median) else "NOT REACHED"
    short = ", short run" if goal.full_only and not full else ""
    return f"{goal}: {reached}{short}"
