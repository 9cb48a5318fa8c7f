"""What is explored: small worlds in which all must be well, and what each rule keeps away."""

from typing import NamedTuple

from model.protocol import Protocol
from model.state import Rules, Setting
from model.workflows import Chain, Join, Loop, LoopThatSleeps, Race, Step, TwoSignals

_TWO_RUNS = (0, 0)  # of one worker, which the claim cannot tell apart
_STUCK = "from here the instance can never end without another fault"

WORLDS = {
    "a chain on two workers": Protocol(Chain()),
    "a chain in two runs of one worker": Protocol(Chain(), Setting(numbers=_TWO_RUNS)),
    "a chain, claimed with old snapshots": Protocol(Chain(), Setting(old_snapshots=True, lanes=1)),
    "a chain that is cancelled": Protocol(Chain(), Setting(cancels=True, lanes=1)),
    "a step that is cancelled": Protocol(Step(), Setting(cancels=True)),
    "a step of a role with REPEATABLE READ": Protocol(Step(), Setting(repeatable_read=True)),
    "a loop": Protocol(Loop()),
    "a loop that sleeps": Protocol(LoopThatSleeps(), Setting(numbers=(0,))),
    "a loop that sleeps, in two runs": Protocol(
        LoopThatSleeps(), Setting(numbers=_TWO_RUNS, lanes=1)
    ),
    "a race": Protocol(Race(), Setting(numbers=(0,))),
    "a race in two runs": Protocol(Race(), Setting(numbers=_TWO_RUNS)),
    "a join": Protocol(Join(), Setting(numbers=(0,))),
    "signals": Protocol(TwoSignals(), Setting(senders=2, timeouts=True)),
    "signals for two runs": Protocol(
        TwoSignals(), Setting(numbers=_TWO_RUNS, senders=2, timeouts=True)
    ),
    "signals and a cancellation": Protocol(
        TwoSignals(), Setting(senders=2, timeouts=True, cancels=True)
    ),
}

# These take minutes, and more memory.
LARGE_WORLDS = {
    "a chain on three workers": Protocol(Chain(), Setting(numbers=(0, 1, 2), lanes=1)),
    "a step of a role with REPEATABLE READ, cancelled": Protocol(
        Step(), Setting(cancels=True, repeatable_read=True)
    ),
    "a join in two runs": Protocol(Join(), Setting(numbers=_TWO_RUNS)),
    "a chain that is cancelled, with two sessions": Protocol(Chain(), Setting(cancels=True)),
    "a chain of a role with REPEATABLE READ": Protocol(Chain(), Setting(repeatable_read=True)),
    "a join on two workers": Protocol(Join()),
    "a loop that sleeps, on two workers": Protocol(LoopThatSleeps()),
}


class Mutation(NamedTuple):
    """A rule that is taken out, and what comes of it."""

    world: Protocol
    problem: str  # how the fault that must be found begins


def _without(world: str, problem: str, **rules: bool) -> Mutation:
    protocol = WORLDS[world]
    return Mutation(Protocol(protocol.workflow, protocol.setting, Rules(**rules)), problem)


MUTATIONS = {
    "the row does not decide": _without(
        "a chain on two workers", "A has committed twice", row_decides=False
    ),
    "the row does not decide, in a loop": _without(
        "a loop", "A has committed twice", row_decides=False, loops_only_go_on=False
    ),
    "a lease is taken for safe": _without(
        "a chain on two workers",
        "A has committed twice",
        row_decides=False,
        claim_counts=False,
        lease_is_trusted=True,
    ),
    "rows are looked at without a lock": _without(
        "a chain on two workers", "A has committed twice", rows_are_locked=False
    ),
    "a cancellation does not stop rows": _without(
        "a chain that is cancelled",
        "A has committed when its instance was cancelled",
        stopped_counts=False,
    ),
    "a race does not stop its loser": _without("a race", "B1 has committed", stopped_counts=False),
    "a step begins before the one before it has landed": _without(
        "a chain on two workers", "B has committed before", steps_wait=False
    ),
    "a JOIN is recorded while a branch may fail": _without(
        "a join", "the JOIN is recorded, and one of its branches has not run", joins_wait=False
    ),
    "a worker saves without its claim": _without(
        "signals and a cancellation",
        "an instance that was cancelled has been changed",
        save_needs_claim=False,
    ),
    "a loop may go back": _without(
        "a loop that sleeps, in two runs", _STUCK, loops_only_go_on=False
    ),
    "a signal is deleted apart": _without(
        "signals", "a signal was received twice", signal_goes_with_row=False
    ),
    "a signal is deleted for a row that was refused": _without(
        "signals for two runs", "a signal is gone", signal_needs_row=False
    ),
    "a worker parks beside a sender": _without("signals", _STUCK, parking_excludes_senders=False),
}

# The claim tells a zombie early that its work is wasted. That nothing is doubled rests on rows.
CLAIM_DOES_NOT_COUNT = [
    Protocol(WORLDS[world].workflow, WORLDS[world].setting, Rules(claim_counts=False))
    for world in ("a chain that is cancelled", "a loop that sleeps, in two runs", "a race")
]
