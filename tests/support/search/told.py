"""What the reference tells of a graph: outcomes, names, effects and their order."""

from collections import Counter
from dataclasses import dataclass, field

from support.search.leaves import Columns


class Unsuitable(Exception):
    """The graph runs too long, grows too large, or has a race without a definite winner."""


@dataclass(frozen=True, slots=True)
class Done:
    """A result as JSON text, with the columns of a row set."""

    text: str
    columns: Columns = ()


@dataclass(frozen=True, slots=True)
class Broke:
    """On the way out to the nearest loop."""

    text: str


@dataclass(frozen=True, slots=True)
class Failed:
    """The error text."""

    error: str


@dataclass(frozen=True, slots=True)
class Never:
    """It waits for what never comes."""


Outcome = Done | Broke | Failed | Never

Run = tuple[int, int]
"""The number of a leaf, and how often it has run before."""


@dataclass(frozen=True, slots=True)
class Parallel:
    """Series of which none is ordered against another."""

    series: "list[Series]"


Series = list["Run | Parallel"]


@dataclass(slots=True)
class Scope:
    """The names that are visible, and which of them were stored in here."""

    visible: dict[str, Done] = field(default_factory=dict)
    stored: dict[str, Done] = field(default_factory=dict)

    def branch(self) -> "Scope":
        """A scope that begins with what is visible here."""
        return Scope(dict(self.visible))

    def store(self, name: str, result: Done) -> None:
        """Keep a result under its name."""
        self.visible[name] = self.stored[name] = result

    def merge(self, branch: "Scope") -> None:
        """Take over what a branch has stored, and nothing of what it had inherited."""
        for name, result in branch.stored.items():
            self.store(name, result)

    def texts(self) -> dict[str, str]:
        """The results by name."""
        return {name: result.text for name, result in self.visible.items()}

    def columns(self) -> dict[str, Columns]:
        """The columns by name."""
        return {name: result.columns for name, result in self.visible.items()}


@dataclass(slots=True)
class Expected:
    """What must be seen when the instance has ended. Nodes go by their paths."""

    outcome: Done | Failed = field(default_factory=lambda: Failed("not run"))
    nodes: dict[str, Outcome] = field(default_factory=dict)  # how they ended last
    possible: dict[str, set[Outcome]] = field(default_factory=dict)  # in losers, if at all
    losers: Counter[str] = field(default_factory=Counter)  # how often each has lost
    effects: Counter[int] = field(default_factory=Counter)  # by leaf
    possible_effects: Counter[int] = field(default_factory=Counter)  # besides those
    order: Series = field(default_factory=list)
    signals: Counter[str] = field(default_factory=Counter)  # to be sent with the start
