"""What of an instance is settled in memory and not recorded yet; which commits are under way."""

from collections.abc import Collection
from dataclasses import dataclass, field

from pg_durable.graph.nodes import Graph
from pg_durable.graph.outcomes import Change, Iterated, Progress
from pg_durable.records import Saving


@dataclass(slots=True)
class Ledger:
    """Changes and waits to be recorded with the next commit, whoever makes it."""

    committing: int = 0  # checkpoints under way
    saving: int = 0  # saves under way
    urgent: bool = False  # to be recorded before anything else is run
    _changes: list[Change] = field(default_factory=list)
    _waits: list[tuple[str, int, float | None]] = field(default_factory=list)
    _resumed: set[str] = field(default_factory=set)

    @property
    def pressing(self) -> bool:
        """Whether to record now rather than with the next commit of a step.

        A loop's next iteration must be in its row before the first of its steps is, and the
        outcome of a wait for a signal before anything rests on it; the end of a wait is fixed
        when it is entered.
        """
        return self.urgent or bool(self._waits)

    @property
    def unsaved(self) -> bool:
        """Whether something settled waits for a commit."""
        return bool(self._changes)

    @property
    def empty(self) -> bool:
        """Whether all that is settled is recorded."""
        return not (self.unsaved or self.committing or self.saving)

    def note(self, progress: Progress) -> None:
        """Take over what may be recorded; the rest stays in the progress."""
        changes = self._recordable(progress)
        self.urgent = self.urgent or any(isinstance(c.outcome, Iterated) for c in changes)
        self._changes += changes

    def enter(self, node: str, generation: int, until: float | None) -> None:
        """A wait begins, to end in so many seconds since 1970; None: never by itself."""
        self._waits.append((node, generation, until))

    def resume(self, loop: str) -> None:
        """A loop's pause between two iterations is over."""
        self._resumed.add(loop)

    def drop(self, nodes: Collection[str]) -> None:
        """Forget what belongs to nodes that lost a race."""
        self._changes = [change for change in self._changes if change.node not in nodes]
        self._waits = [wait for wait in self._waits if wait[0] not in nodes]

    def for_checkpoint(
        self, progress: Progress, graph: Graph, within: Collection[str] | None = None
    ) -> list[Change]:
        """What a step's checkpoint records: what it led to, and all that waits for a commit."""
        changes = self._recordable(progress)
        if not self._changes:
            return changes
        # What is cut off with a race's loser must hold nothing but the loser's own.
        unsaved = [c for c in self._changes if within is None or c.node in within]
        self._changes = [c for c in self._changes if within is not None and c.node not in within]
        return _sorted([*unsaved, *changes], graph)

    def for_save(self, instance: str, graph: Graph) -> Saving:
        """All that waits to be recorded."""
        saving = Saving(
            instance=instance,
            changes=_sorted(self._changes, graph),
            waits=self._waits,
            resumed=sorted(self._resumed),
        )
        self._changes, self._waits, self._resumed, self.urgent = [], [], set(), False
        return saving

    def _recordable(self, progress: Progress) -> list[Change]:
        """Split off what may be recorded.

        While commits of siblings are under way, that is nothing that rests on their outcomes:
        they may still fail. Waiting for them here, in an open transaction, could be a
        deadlock that the server cannot see.
        """
        changes = progress.changes
        if progress.joined and (self.committing or self.saving):
            own, progress.own = progress.own, 0
            progress.changes = changes[own:]
            return changes[:own]
        progress.changes = []
        return changes


def _sorted(changes: list[Change], graph: Graph) -> list[Change]:
    return sorted(changes, key=lambda change: graph.lock_order(change.node))
