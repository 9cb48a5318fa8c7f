"""What rounds came to: lines and tables for people, JSON for programs."""

import shlex
from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pg_durable.torture.rounds import Outcome
from pg_durable.torture.violations import Violation


def tell_round(console: Console, outcome: Outcome) -> None:
    """One line for a round, and one for each violation."""
    plan = outcome.plan
    verdict = ("✗", "red") if outcome.violations else ("✓", "green")
    faults = ", ".join(fault.kind for fault in plan.faults) or "no fault"
    told = (
        f" seed {plan.seed}: {sum(outcome.statuses.values())} workflows"
        f" in {outcome.seconds:.0f} s; {faults}"
    )
    console.print(Text.assemble(verdict, told), soft_wrap=True)
    for violation in outcome.violations:
        console.print("   ", _line(violation), style="red", markup=False, soft_wrap=True)
    if outcome.violations:
        console.print(f"    the same plan again: {replay_command(outcome)}", soft_wrap=True)
        if outcome.kept:
            console.print(f"    what is left of it: {outcome.kept}", soft_wrap=True)


def print_tables(console: Console, outcomes: Sequence[Outcome]) -> None:
    """Everything together."""
    faults = Counter(fault.kind for outcome in outcomes for fault in outcome.plan.faults)
    kinds = Counter(workflow.kind for outcome in outcomes for workflow in outcome.plan.workflows)
    statuses: Counter[str] = sum((outcome.statuses for outcome in outcomes), Counter())
    violations = Counter(v.check for outcome in outcomes for v in outcome.violations)
    for title, counts in (
        ("faults", faults),
        ("workflows", kinds),
        ("ended as", statuses),
        ("violations", violations),
    ):
        table = Table(title, "count", title_justify="left")
        table.columns[1].justify = "right"
        for name, count in sorted(counts.items()):
            table.add_row(name, f"{count:,}")
        table.add_section()
        table.add_row("in all", f"{counts.total():,}")
        console.print(table)
    seconds = sum(outcome.seconds for outcome in outcomes)
    console.print(
        f"Rounds: {len(outcomes)} in {seconds / 60:.1f} minutes,"
        f" {sum(faults.values())} faults, {sum(violations.values())} violations"
    )


def as_json(outcomes: Sequence[Outcome]) -> dict[str, object]:
    """The same as one document."""
    return {
        "rounds": [
            {
                "seed": outcome.plan.seed,
                "seconds": round(outcome.seconds, 1),
                "draining_seconds": round(outcome.draining, 1),
                "faults": [
                    {"kind": fault.kind, "at": fault.at, "seconds": fault.seconds}
                    for fault in outcome.plan.faults
                ],
                "workflows": dict(Counter(w.kind for w in outcome.plan.workflows)),
                "statuses": dict(outcome.statuses),
                "clients": dict(outcome.clients),
                "violations": [violation._asdict() for violation in outcome.violations],
                "replay": replay_command(outcome),
            }
            for outcome in outcomes
        ],
        "violations": sum(len(outcome.violations) for outcome in outcomes),
    }


def replay_command(outcome: Outcome) -> str:
    """What runs the plan of a round again."""
    plan = outcome.plan
    command = ["pg-durable", "torture", "--seed", str(plan.seed), "--workers", str(plan.workers)]
    if plan.chosen is not None:
        command += ["--faults", ",".join(plan.chosen)]
    return shlex.join(command)


def _line(violation: Violation) -> str:
    return f"{violation.check}: {violation.subject}: {violation.detail}"
