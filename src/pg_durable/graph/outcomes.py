"""What comes of nodes: outcomes, the names they store, what is to be recorded and run next."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from pg_durable.errors import PgDurableError
from pg_durable.graph.json_text import parse, quote, storable
from pg_durable.graph.nodes import Node, NodeType, Row


class Done(NamedTuple):
    """A node produced a result (JSON text). `columns` names those of a row set without rows."""

    result: str
    columns: tuple[str, ...] = ()


class Broke(NamedTuple):
    """A node was left by a break, with its value (JSON text)."""

    result: str


class Failed(NamedTuple):
    """A node failed. `details` is what is known besides: SQLSTATE, hint, position …"""

    message: str
    details: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, error: PgDurableError) -> "Failed":
        """An error of ours as the outcome of a node."""
        return cls(str(error), {"sqlstate": error.sqlstate})

    def passed_on(self, node: str) -> "Failed":
        """The failure as the nodes around the failed one have it: with its id, without its text."""
        details = {k: v for k, v in (self.details or {}).items() if k not in _OF_THE_NODE}
        return Failed(self.message, {"node": node, **details})


class Stopped(NamedTuple):
    """A node lost a race: it may never finish in this generation."""


class Iterated(NamedTuple):
    """A loop begins its next iteration."""

    first: int  # number of the first iteration since the loop was entered
    iteration: int  # of the one that begins
    names: str | None  # what is carried into it
    until: float | None  # when it begins, in seconds since 1970; None: at once
    root: bool  # whether the loop is the root of the graph


Outcome = Done | Broke | Failed

_OF_THE_NODE = frozenset({"statement", "delivery"})


def recorded(node: Node, row: Row) -> Outcome:
    """What a node that has ended came to, from its row."""
    if row.status == "completed":
        result = row.result or "null"
        if node.type is NodeType.BREAK:
            return Broke(result)
        return Done(result, tuple((row.details or {}).get("columns", ())))
    if row.result is None:
        return Failed(f"Node {node.id} failed, and its error is not recorded.", row.details)
    text = parse(row.result)
    return Failed(text if isinstance(text, str) else str(row.result), row.details)


@dataclass(slots=True)
class Scope:
    """The named results visible at a place of the graph, as JSON texts."""

    names: dict[str, str] = field(default_factory=dict)
    columns: dict[str, Sequence[str]] = field(default_factory=dict)  # of row sets without rows
    stored: set[str] = field(default_factory=set)

    def store(self, name: str, result: str, columns: Sequence[str] = ()) -> None:
        """Keep a result under its name; a later one of the same name replaces it."""
        self.names[name] = result
        self.stored.add(name)
        if columns:
            self.columns[name] = columns
        else:
            self.columns.pop(name, None)

    def branch(self) -> "Scope":
        """A branch sees what is there now, and its siblings do not see what it stores."""
        return Scope(dict(self.names), dict(self.columns))

    def merge(self, branch: "Scope") -> None:
        """Take over what a finished branch stored, and only that."""
        for name in branch.stored:
            self.store(name, branch.names[name], branch.columns.get(name, ()))


class Leaf(NamedTuple):
    """What is to be run or waited for now, with the names it can see. A LOOP is a leaf while it
    waits for its next iteration."""

    node: Node
    scope: Scope
    generation: int
    until: float | None  # end of a wait entered before, in seconds since 1970; None: not entered


class Change(NamedTuple):
    """What became of a node, to be recorded."""

    node: str
    generation: int
    outcome: Outcome | Stopped | Iterated
    marks: Mapping[str, Any] | None = None  # kept beside the result

    @property
    def plain_result(self) -> str | None:
        """The result, if there is one and nothing to be kept beside it."""
        outcome = self.outcome
        if type(outcome) is Done and not outcome.columns and not self.marks:
            return outcome.result
        return None

    def is_like(self, other: "Change") -> bool:
        """Whether the node comes to the very same, with nothing to be kept beside it."""
        return (
            self.outcome is other.outcome
            and self.generation == other.generation
            and not (self.marks or other.marks)
        )

    @property
    def status(self) -> str:
        """The status the row gets; `stopped` and `iterated` are told apart by `df._record`."""
        match self.outcome:
            case Done():
                return "completed"
            case Failed():
                return "failed"
            case Stopped():
                return "stopped"
            case Iterated():
                return "iterated"
        return "completed"

    @property
    def result(self) -> str | None:
        """The JSON text the row gets: the result, or the error's text as a JSON string."""
        match self.outcome:
            case Done(result) | Broke(result):
                return result
            case Failed(message):
                return quote(storable(message))
            case Iterated():
                return self.outcome.names
        return None

    @property
    def details(self) -> str | None:
        """What is recorded beside the result, as a JSON text."""
        if not self.marks and isinstance(self.outcome, Done) and not self.outcome.columns:
            return None
        details = dict(self.marks or {})
        match self.outcome:
            case Failed(_, more) if more:
                details |= {k: storable(v) if isinstance(v, str) else v for k, v in more.items()}
            case Done(_, columns) if columns:
                details["columns"] = columns
            case Iterated(first, iteration, _, until, root):
                details = {"first": first, "iteration": iteration}
                details |= {"until": until} if until is not None else {}
                details |= {"root": True} if root else {}
        return orjson.dumps(details).decode() if details else None


@dataclass(slots=True)
class Progress:
    """What an outcome led to. Changes are listed leaf first."""

    changes: list[Change] = field(default_factory=list)
    leaves: list[Leaf] = field(default_factory=list)
    outcome: Outcome | None = None  # of the whole instance
    joined: bool = False  # changes from number `own` on rest on outcomes of other leaves
    own: int = 0
    losers: set[str] = field(default_factory=set)  # nodes that lost a race by this
