"""What comes of nodes: outcomes, the names they store, what is to be recorded and run next."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from pg_durable.graph.json_text import quote
from pg_durable.graph.nodes import Node


class Done(NamedTuple):
    """A node produced a result (JSON text)."""

    result: str


class Failed(NamedTuple):
    """A node failed. `details` is what the server said besides: SQLSTATE, hint, position …"""

    message: str
    details: Mapping[str, str] | None = None


class Stopped(NamedTuple):
    """A node lost a race: it may never finish, though it is not terminal."""


Outcome = Done | Failed


@dataclass(slots=True)
class Scope:
    """The named results visible at a place of the graph, as JSON texts."""

    names: dict[str, str] = field(default_factory=dict)
    stored: set[str] = field(default_factory=set)

    def store(self, name: str, result: str) -> None:
        """Keep a result under its name; a later one of the same name replaces it."""
        self.names[name] = result
        self.stored.add(name)

    def branch(self) -> "Scope":
        """A branch sees what is there now, and its siblings do not see what it stores."""
        return Scope(dict(self.names))

    def merge(self, branch: "Scope") -> None:
        """Take over what a finished branch stored, and only that."""
        for name in branch.stored:
            self.store(name, branch.names[name])


class Leaf(NamedTuple):
    """A leaf that is to run now, with the names it can see."""

    node: Node
    scope: Scope
    generation: int
    remaining: float | None  # seconds left of a wait entered before; None: not entered yet


class Change(NamedTuple):
    """What became of a node, to be recorded."""

    node: str
    generation: int
    outcome: Outcome | Stopped

    @property
    def status(self) -> str:
        """The status the row gets; `stopped` leaves it as it is."""
        if isinstance(self.outcome, Done):
            return "completed"
        return "failed" if isinstance(self.outcome, Failed) else "stopped"

    @property
    def result(self) -> str | None:
        """The JSON text the row gets: the result, or the error's text as a JSON string."""
        outcome = self.outcome
        if isinstance(outcome, Done):
            return outcome.result
        return quote(outcome.message) if isinstance(outcome, Failed) else None


@dataclass(slots=True)
class Progress:
    """What an outcome led to. Changes are listed leaf first."""

    changes: list[Change] = field(default_factory=list)
    leaves: list[Leaf] = field(default_factory=list)
    outcome: Outcome | None = None  # of the whole instance
    joined: bool = False  # changes from number `own` on rest on outcomes of other leaves
    own: int = 0
    losers: set[str] = field(default_factory=set)  # nodes that lost a race by this
