"""What an instance waits for: times, and signals."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from pg_durable.graph.outcomes import Done, Leaf
from pg_durable.graph.waits import SignalWait
from pg_durable.records import Signal

NEVER = float("inf")


@dataclass(slots=True)
class Waits:
    """The open waits of one run, in the order in which they were entered."""

    look: bool = False  # for signals
    _due: dict[str, tuple[Leaf, float]] = field(default_factory=dict)  # by node
    _new: dict[str, Leaf] = field(default_factory=dict)  # for signals, not registered yet

    def __bool__(self) -> bool:
        return bool(self._due)

    def add(self, leaf: Leaf, end: float | None, *, new: bool = False) -> None:
        """Wait until `end`; None: for ever, or for a signal. `new`: its row does not say so yet."""
        self._due[leaf.node.id] = leaf, NEVER if end is None else end
        if isinstance(leaf.node.wait, SignalWait):
            self.look = True
            if new:
                self._new[leaf.node.id] = leaf

    def drop(self, nodes: Collection[str]) -> None:
        """Forget waits that lost a race."""
        for node in nodes & self._due.keys():
            del self._due[node]
            self._new.pop(node, None)

    def end(self, leaf: Leaf) -> bool:
        """Take a wait out; False: it is over, though a later one of its node may be open."""
        open_, _ = self._due.get(leaf.node.id, (None, NEVER))
        if open_ is not leaf:
            return False
        del self._due[leaf.node.id]
        self._new.pop(leaf.node.id, None)
        return True

    def has(self, node: str, generation: int) -> bool:
        """Whether a node's wait of that generation is open."""
        return node in self._due and self._due[node][0].generation == generation

    def next_end(self) -> float:
        """When the first of them ends."""
        return min((due for _, due in self._due.values()), default=NEVER)

    def over(self, now: float) -> list[Leaf]:
        """Those whose time has come."""
        return [leaf for leaf, due in self._due.values() if due <= now]

    # --- signals

    def wanted(self) -> Mapping[str, int]:
        """How many waits there are for each name."""
        wanted: dict[str, int] = {}
        for leaf, _ in self._due.values():
            if isinstance(leaf.node.wait, SignalWait):
                wanted[leaf.node.wait.signal] = wanted.get(leaf.node.wait.signal, 0) + 1
        return wanted

    def match(self, signals: Sequence[Signal]) -> list[tuple[Leaf, Signal]]:
        """Who gets which signal, oldest first.

        A signal goes to all waits of its name that are registered. One that finds none was kept:
        the first new wait takes it.
        """
        waiting: dict[str, list[Leaf]] = {}
        fresh: dict[str, list[Leaf]] = {}
        for leaf, _ in self._due.values():
            if isinstance(leaf.node.wait, SignalWait):
                group = fresh if leaf.node.id in self._new else waiting
                group.setdefault(leaf.node.wait.signal, []).append(leaf)
        matched = []
        for signal in signals:
            takers = waiting.pop(signal.name, None)
            if takers is None and fresh.get(signal.name):
                takers = [fresh[signal.name].pop(0)]
            matched += [(leaf, signal) for leaf in takers or ()]
        return matched

    def registered(self) -> list[Leaf]:
        """The new waits for signals, which count as registered from now on."""
        new, self._new = self._new, {}
        return list(new.values())


def outcome_at_end(leaf: Leaf) -> Done:
    """What a wait comes to when its time is over; a LOOP just goes on."""
    return Done("null" if leaf.node.wait is None else leaf.node.wait.result())


def outcome_of_signal(leaf: Leaf, signal: Signal) -> Done:
    """What a wait comes to with a signal."""
    assert isinstance(leaf.node.wait, SignalWait)
    return Done(leaf.node.wait.received(signal.data))
