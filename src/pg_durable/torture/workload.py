"""The kinds of workflows, and what must have come of each in the end.

Every SQL step writes one row into `torture.ledger`: the tag of its workflow and a name of its own.
So what was lost and what was done twice shows in that table.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

SIGNAL = "go"


@dataclass(frozen=True, slots=True, kw_only=True)
class Workflow:
    """One workflow: what is started, and how it must end.

    Attributes:
        at: seconds from the beginning of the round to its start.
        sql: the expression that makes its graph.
        status: in which it must end, unless a fault or a client prevents it.
        steps: those that must be in the ledger once.
        either: groups of steps. All of one group are there, and not the last of any other.
        repeatable: steps that may be there more than once, but at least once.
        sqlstates: errors with which it may fail by its nature.
        signals: seconds after the start at which signals are sent, in this order.
        cancel: seconds after the start at which it is cancelled.
        turns: how many iterations the loop at its root must count.
    """

    tag: str
    kind: str
    role: str
    at: float
    sql: str
    status: str = "completed"
    steps: Sequence[str] = ()
    either: Sequence[Sequence[str]] = ()
    repeatable: Sequence[str] = ()
    sqlstates: Sequence[str] = ()
    signals: Sequence[float] = ()
    cancel: float | None = None
    turns: int | None = None

    def expected(self) -> Mapping[str, object]:
        """What the checks compare with, to be stored together with the start."""
        return {
            "status": self.status,
            "steps": list(self.steps),
            "either": [list(group) for group in self.either],
            "repeatable": list(self.repeatable),
            "sqlstates": list(self.sqlstates),
            "turns": self.turns,
        }


@dataclass(slots=True)
class Draft:
    """What a kind decides of a workflow; the rest is the plan's."""

    tag: str
    dice: random.Random
    sql: str = ""
    parts: dict[str, object] = field(default_factory=dict)

    def step(self, name: str, slow: float = 0.05, returning: str = "") -> str:
        """An SQL step, as a literal: it writes its row, and may take a moment."""
        pause = round(self.dice.random() * slow, 3) if self.dice.random() < 0.5 else 0
        source = f" from pg_catalog.pg_sleep({pause})" if pause else ""
        text = (
            f"/* step {name} */ insert into torture.ledger (tag, step)"
            f" select '{self.tag}', '{name}'{source} returning {returning or 'step'}"
        )
        return quoted(text)

    def chain(self, *names: str) -> str:
        """Steps one after another."""
        return " ~> ".join(self.step(name) for name in names)


def quoted(text: str) -> str:
    """A text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def _chain(draft: Draft) -> None:
    names = [f"s{n}" for n in range(draft.dice.randint(1, 7))]
    draft.sql = draft.chain(*names)
    draft.parts["steps"] = names


def _join(draft: Draft) -> None:
    branches = [[f"b{b}-{n}" for n in range(draft.dice.randint(1, 3))]
                for b in range(draft.dice.randint(2, 4))]  # fmt: skip
    joined = " & ".join(f"({draft.chain(*names)})" for names in branches)
    draft.sql = f"{draft.step('before')} ~> ({joined}) ~> {draft.step('after')}"
    draft.parts["steps"] = ["before", "after", *(name for names in branches for name in names)]


def _race(draft: Draft) -> None:
    left = [f"l{n}" for n in range(draft.dice.randint(1, 3))]
    right = [f"r{n}" for n in range(draft.dice.randint(1, 3))]
    pause = draft.dice.choice([0, 0.02, 0.1, 0.5])
    draft.sql = (
        f"(({draft.chain(*left)}) | (df.sleep('{pause} s') ~> {draft.chain(*right)}))"
        f" ~> {draft.step('after')}"
    )
    draft.parts.update(steps=["after"], either=[left, right])


def _if(draft: Draft) -> None:
    value = draft.dice.random() < 0.5
    draft.sql = (
        f"{draft.step('before')} ~> ('select {str(value).lower()}'"
        f" ?> ({draft.chain('yes')}) !> ({draft.chain('no')})) ~> {draft.step('after')}"
    )
    draft.parts["steps"] = ["before", "yes" if value else "no", "after"]


def _loop(draft: Draft) -> None:
    turns = draft.dice.randint(2, 8)
    body = _body(draft)
    draft.sql = (
        f"'select 0 as n' |=> 'i' ~> df.loop({body}, 'select $i.n < {turns}')"
        f" ~> {draft.step('after')}"
    )
    draft.parts["steps"] = [*(f"body-{n}" for n in range(1, turns + 1)), "after"]


def _root_loop(draft: Draft) -> None:
    turns = draft.dice.randint(2, 6)
    # Its count is read from the ledger: by one statement with its row, so that a turn that is
    # done twice shows as a turn too many of the loop's own count.
    body = quoted(
        f"insert into torture.ledger (tag, step) select '{draft.tag}', 'body-' || (1 + (select"
        f" count(*) from torture.ledger where tag = '{draft.tag}'))"
        f" from pg_catalog.pg_sleep({draft.dice.choice([0, 0.02])}) returning step"
    )
    more = quoted(f"select count(*) < {turns} from torture.ledger where tag = '{draft.tag}'")
    draft.sql = f"df.loop({body}, {more})"
    draft.parts.update(steps=[f"body-{n}" for n in range(1, turns + 1)], turns=turns)


def _loop_with_break(draft: Draft) -> None:
    turns = draft.dice.randint(2, 5)
    pause = draft.dice.choice([0.02, 0.1, 0.4])
    draft.sql = (
        f"'select 0 as n' |=> 'i' ~> df.loop({_body(draft)} ~> ('select $i.n >= {turns}'"
        f" ?> df.break('done') !> df.sleep('{pause} s'))) ~> {draft.step('after')}"
    )
    draft.parts["steps"] = [*(f"body-{n}" for n in range(1, turns + 1)), "after"]


def _body(draft: Draft) -> str:
    # Run twice without being recorded, it would write the same number twice.
    pause = draft.dice.choice([0, 0, 0.01, 0.05])
    text = (
        f"insert into torture.ledger (tag, step) select '{draft.tag}', 'body-' || ($i.n + 1)"
        f" from pg_catalog.pg_sleep({pause}) returning substr(step, 6)::int as n"
    )
    return f"({quoted(text)} |=> 'i')"


def _signals(draft: Draft) -> None:
    count = draft.dice.randint(1, 4)
    before = draft.dice.random() * 1.5
    sent, at = [], before
    for _ in range(count):
        sent.append(round(at, 3))
        at += draft.dice.choice([0, 0, 0.1, 1.0]) * draft.dice.random()
    waits = [_received(draft, n) for n in range(1, count + 1)]
    pause = draft.dice.choice([0, 0.05, 1.0])
    draft.sql = f"{draft.step('before')} ~> df.sleep('{pause} s') ~> " + " ~> ".join(waits)
    draft.parts.update(
        steps=["before", *(f"got-{n}-{n}" for n in range(1, count + 1))], signals=sent
    )


def _received(draft: Draft, number: int) -> str:
    """A wait, and a step that writes down which signal has come for it."""
    text = (
        "insert into torture.ledger (tag, step)"
        f" select '{draft.tag}', 'got-{number}-' || ($s{number}.data::jsonb ->> 'n') returning step"
    )
    return f"df.wait_for_signal('{SIGNAL}') |=> 's{number}' ~> {quoted(text)}"


def _signal_to_branches(draft: Draft) -> None:
    # Two waits, two signals: both may wait when the first comes, and take it together. So the
    # second wait begins after the first was served.
    draft.sql = (
        f"({_received(draft, 1)} ~> {_received(draft, 2)}) & ({draft.step('beside')}"
        " ~> df.sleep('300 ms'))"
    )
    draft.parts.update(steps=["got-1-1", "got-2-2", "beside"],
                       signals=sorted(round(draft.dice.random(), 3) for _ in "12"))  # fmt: skip


def _timed_out(draft: Draft) -> None:
    text = (
        "insert into torture.ledger (tag, step)"
        f" select '{draft.tag}', 'timed-out-' || $s.timed_out returning step"
    )
    draft.sql = f"df.wait_for_signal('never', 1) |=> 's' ~> {quoted(text)}"
    draft.parts["steps"] = ["timed-out-true"]


def _sleep(draft: Draft) -> None:
    first, second = draft.dice.choice([0.01, 0.1, 0.2]), draft.dice.choice([0.5, 1, 3])
    draft.sql = (
        f"{draft.step('s0')} ~> df.sleep('{first} s') ~> {draft.step('s1')}"
        f" ~> df.sleep('{second} s') ~> {draft.step('s2')}"
    )
    draft.parts["steps"] = ["s0", "s1", "s2"]


def _schedule(draft: Draft) -> None:
    draft.sql = (
        f"((df.wait_for_schedule('* * * * *') ~> {draft.step('ticked')})"
        f" | (df.sleep('{draft.dice.choice([1, 3])} s') ~> {draft.step('slept')}))"
        f" ~> {draft.step('after')}"
    )
    draft.parts.update(steps=["after"], either=[["ticked"], ["slept"]])


def _long(draft: Draft) -> None:
    draft.sql = f"{draft.step('s0', slow=4)} ~> {draft.step('s1', slow=2)}"
    draft.parts["steps"] = ["s0", "s1"]


def _failing(draft: Draft) -> None:
    draft.sql = f"{draft.chain('s0', 's1')} ~> 'select 1/0' ~> {draft.step('never')}"
    draft.parts.update(steps=["s0", "s1"], status="failed", sqlstates=["22012"])


def _cancelled(draft: Draft) -> None:
    names = [f"s{n}" for n in range(8)]
    draft.sql = " ~> df.sleep('50 ms') ~> ".join(draft.step(name, slow=0.5) for name in names)
    draft.parts.update(steps=names, cancel=round(draft.dice.random() * 3, 3))


def _alone(draft: Draft) -> None:
    text = (
        "do $do$ begin insert into torture.ledger (tag, step)"
        f" values ('{draft.tag}', 'alone'); commit; end $do$"
    )
    draft.sql = f"{draft.step('before')} ~> {quoted(text)} ~> {draft.step('after')}"
    draft.parts.update(steps=["before", "after"], repeatable=["alone"])


def _crossing(draft: Draft) -> None:
    first, second = draft.dice.sample(range(1, 5), 2)
    text = f"/* step cross */ select torture.cross_rows('{draft.tag}', 'cross', {first}, {second})"
    draft.sql = f"{draft.step('before')} ~> {quoted(text)} ~> {draft.step('after')}"
    draft.parts.update(steps=["before", "cross", "after"], sqlstates=["40P01"])


def _parent(draft: Draft) -> None:
    tag = f"{draft.tag}/child"
    child = quoted(
        f"insert into torture.ledger (tag, step) values ('{tag}', 'born') returning step"
    )
    text = (
        "/* step parent */ with started as (insert into torture.starts (tag, instance, kind,"
        f" expected) values ('{tag}', df.start({child}), 'child',"
        """ '{"status": "completed", "steps": ["born"]}') returning tag)"""
        f" insert into torture.ledger (tag, step) select '{draft.tag}', 'parent' from started"
    )
    draft.sql = f"{quoted(text)} ~> {draft.step('after')}"
    draft.parts["steps"] = ["parent", "after"]


_KINDS: Mapping[str, tuple[Callable[[Draft], None], float]] = {
    "chain": (_chain, 5),
    "join": (_join, 4),
    "race": (_race, 4),
    "if": (_if, 2),
    "loop": (_loop, 3),
    "root loop": (_root_loop, 2),
    "loop with break": (_loop_with_break, 3),
    "signals": (_signals, 4),
    "signal in a branch": (_signal_to_branches, 2),
    "timed out": (_timed_out, 1),
    "sleep": (_sleep, 3),
    "schedule": (_schedule, 1),
    "long": (_long, 1),
    "failing": (_failing, 1),
    "cancelled": (_cancelled, 2),
    "alone": (_alone, 1),
    "crossing": (_crossing, 2),
    "parent": (_parent, 1),
}
KINDS = tuple(_KINDS)


def draw_workflows(
    dice: random.Random, *, count: int, seconds: float, roles: Sequence[str]
) -> tuple[Workflow, ...]:
    """Workflows of all kinds, in the order of their starts."""
    weights = [weight * dice.choice([0.5, 1, 1, 2]) for _, weight in _KINDS.values()]
    workflows = []
    for number in range(count):
        (kind,) = dice.choices(KINDS, weights)
        draft = Draft(f"w{number}", dice)
        _KINDS[kind][0](draft)
        workflows.append(
            Workflow(
                tag=draft.tag,
                kind=kind,
                role=dice.choice(roles),
                at=round(seconds * number / count, 3),
                sql=draft.sql,
                **draft.parts,  # type: ignore[arg-type]
            )
        )
    return tuple(workflows)
