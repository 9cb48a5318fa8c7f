"""All that is random in a round, made from its seed.

The same seed gives the same plan: the workflows, what is sent to them and when, the faults with
their instants and targets. What the threads and processes of a round make of it is not in
anybody's hand, so a replayed seed need not fail again.
"""

import random
from collections.abc import Collection
from dataclasses import dataclass

from pg_durable.torture.faults import FAULTS
from pg_durable.torture.workload import Workflow, draw_workflows

ROLES = ("torture_a", "torture_b", "torture_c")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedFault:
    """One fault: which, when, for how long, and a seed for its own choices."""

    kind: str
    at: float
    seconds: float
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One round."""

    seed: int
    chosen: tuple[str, ...] | None  # the faults that it was to be drawn from; None: all
    seconds: float  # for which workflows are started and faults injected
    workers: int
    proxied: bool  # the workers, and some clients, connect through the proxy
    sessions: int  # for the steps of each worker
    lease: float
    workflows: tuple[Workflow, ...]
    faults: tuple[PlannedFault, ...]


def make_plan(
    seed: int, *, workers: int, faults: Collection[str] | None = None, seconds: float = 12.0
) -> Plan:
    """The plan of a seed; the other arguments are part of what is to be given again with it."""
    dice = random.Random(seed)
    kinds = [kind for kind in FAULTS if faults is None or kind in faults]
    drawn = []
    for _ in range(dice.randint(3, 6) if kinds else 0):
        kind = dice.choice(kinds)
        at = round(0.5 + dice.random() * (seconds - 2), 3)
        drawn.append(
            PlannedFault(
                kind=kind,
                at=at,
                seconds=round(min(0.3 + dice.random() * 3, seconds - at), 3),
                seed=dice.getrandbits(32),
            )
        )
    return Plan(
        seed=seed,
        chosen=None if faults is None else tuple(kinds),
        seconds=seconds,
        workers=workers,
        proxied=any(FAULTS[fault.kind].spoils_network for fault in drawn),
        sessions=dice.choice([2, 4, 8]),
        lease=dice.choice([1.5, 3.0, 15.0]),
        workflows=draw_workflows(
            dice, count=dice.randint(80, 180), seconds=seconds * 0.9, roles=ROLES
        ),
        faults=tuple(sorted(drawn, key=lambda fault: fault.at)),
    )
