"""Workflows of the model, as small as the question allows, and what must hold of each.

Nodes are numbered in the order in which commits lock them: deeper ones first.
"""

from typing import ClassVar, NamedTuple

from model.state import Change, Leaf, Node, State


class Settled(NamedTuple):
    """What a leaf's outcome leads to: the rows to be recorded, and whether all ends with it."""

    plan: tuple[Change, ...]
    finishes: bool = False


class Workflow:
    """A graph, and the walk through it from what a worker believes of its rows."""

    names: ClassVar[tuple[str, ...]]
    steps: ClassVar[frozenset[int]]  # nodes with a statement of the user
    dsl: ClassVar[str] = ""  # the same for df.start, where it is replayed;
    ids: ClassVar[str] = ""  # and the last letters of its nodes' ids (by_hand.start)

    def title(self, leaf: Leaf) -> str:
        """A leaf, in words."""
        name, generation = self.names[leaf[0]], leaf[1]
        return name if generation == 1 else f"{name} in iteration {generation}"

    def leaves(self, nodes: tuple[Node, ...]) -> tuple[Leaf, ...]:
        """Which leaves are to run."""
        raise NotImplementedError

    def settle(self, nodes: tuple[Node, ...], leaf: Leaf, alone: bool) -> Settled:
        """What follows from the end of a leaf; `alone`: no commit of a sibling is under way."""
        raise NotImplementedError

    def rest(self, nodes: tuple[Node, ...]) -> tuple[Change, ...]:
        """What is left to be recorded when every leaf has ended, and its commit has landed."""
        return ()

    def losers(self, node: int) -> frozenset[int]:
        """Whose statements a node's end cuts off."""
        return frozenset()

    def needs(self, leaf: Leaf) -> frozenset[Leaf]:
        """The steps that come before one."""
        return frozenset()

    def wrong(self, state: State) -> str:
        """What does not fit together in the committed rows."""
        for node, generation in state.effects:
            row = state.nodes[node]
            if (row.generation, row.status == "completed") < (generation, True):
                return f"{self.names[node]} has run, and its row does not say so"
        for node in self.steps:
            row = state.nodes[node]
            if row.status == "completed" and (node, row.generation) not in state.effects:
                return f"{self.names[node]} is recorded, and has not run"
        return ""


class Chain(Workflow):
    """A ~> B."""

    names = ("A", "B", "THEN")
    steps = frozenset({0, 1})
    dsl = "'select ''a''' ~> 'select ''b'''"
    ids = "abf"

    def leaves(self, nodes: tuple[Node, ...]) -> tuple[Leaf, ...]:
        return next((((n, 1),) for n in (0, 1) if nodes[n].status != "completed"), ())

    def settle(self, nodes: tuple[Node, ...], leaf: Leaf, alone: bool) -> Settled:
        if leaf[0] == 0:
            return Settled((Change(0, "completed"),))
        return Settled((Change(1, "completed"), Change(2, "completed")), finishes=True)

    def needs(self, leaf: Leaf) -> frozenset[Leaf]:
        return frozenset({(0, 1)}) if leaf[0] == 1 else frozenset()


class Step(Workflow):
    """A alone."""

    names = ("A",)
    steps = frozenset({0})
    dsl = "'select ''a'''"
    ids = "a"

    def leaves(self, nodes: tuple[Node, ...]) -> tuple[Leaf, ...]:
        return () if nodes[0].status == "completed" else ((0, 1),)

    def settle(self, nodes: tuple[Node, ...], leaf: Leaf, alone: bool) -> Settled:
        return Settled((Change(0, "completed"),), finishes=True)


class Loop(Workflow):
    """df.loop(A), as often as `last` says. The row of A is used again in each iteration."""

    names = ("A", "LOOP")
    steps = frozenset({0})
    dsl = "df.loop('select ''a''')"
    ids = "af"
    last = 2

    def leaves(self, nodes: tuple[Node, ...]) -> tuple[Leaf, ...]:
        return () if nodes[1].status == "completed" else ((0, max(nodes[1].iteration, 1)),)

    def settle(self, nodes: tuple[Node, ...], leaf: Leaf, alone: bool) -> Settled:
        generation = leaf[1]
        if generation == self.last:
            end = Change(1, "completed", iteration=generation)
            return Settled((Change(0, "completed", generation), end), finishes=True)
        onward = Change(1, "iterated", iteration=generation + 1)
        return Settled((Change(0, "completed", generation), onward))

    def needs(self, leaf: Leaf) -> frozenset[Leaf]:
        return frozenset({(0, leaf[1] - 1)}) if leaf[1] > 1 else frozenset()


class LoopThatSleeps(Workflow):
    """df.loop(A ~> df.sleep(…)): the end of an iteration is recorded by df._save."""

    names = ("A", "SLEEP", "LOOP")
    steps = frozenset({0})
    last = 3

    def leaves(self, nodes: tuple[Node, ...]) -> tuple[Leaf, ...]:
        generation = max(nodes[2].iteration, 1)
        if nodes[2].status == "completed":
            return ()
        has_run = (nodes[0].generation, nodes[0].status) == (generation, "completed")
        return ((1 if has_run else 0, generation),)

    def settle(self, nodes: tuple[Node, ...], leaf: Leaf, alone: bool) -> Settled:
        own = Change(leaf[0], "completed", leaf[1])
        if leaf[0] == 0:
            return Settled((own,))
        if leaf[1] == self.last:
            return Settled((own, Change(2, "completed", iteration=leaf[1])))
        return Settled((own, Change(2, "iterated", iteration=leaf[1] + 1)))

    def needs(self, leaf: Leaf) -> frozenset[Leaf]:
        return frozenset({(0, leaf[1] - 1)}) if leaf[1] > 1 else frozenset()


class Race(Workflow):
    """A | (B1 ~> B2): whose branch ends first."""

    names = ("B1", "B2", "A", "RACE")
    steps = frozenset({0, 1, 2})
    dsl = "('select ''a''' ~> 'select ''b''') | 'select ''c'''"
    ids = "abcf"

    def leaves(self, nodes: tuple[Node, ...]) -> tuple[Leaf, ...]:
        if nodes[3].status == "completed":
            return ()
        following = 1 if nodes[0].status == "completed" else 0
        return ((following, 1), (2, 1))

    def settle(self, nodes: tuple[Node, ...], leaf: Leaf, alone: bool) -> Settled:
        if leaf[0] == 0:
            return Settled((Change(0, "completed"),))
        end = Change(3, "completed")
        if leaf[0] == 1:
            return Settled((Change(1, "completed"), Change(2, "stopped"), end), finishes=True)
        lost = (Change(0, "stopped"), Change(1, "stopped"))
        return Settled((*lost, Change(2, "completed"), end), finishes=True)

    def losers(self, node: int) -> frozenset[int]:
        return {0: frozenset[int](), 1: frozenset({2}), 2: frozenset({0, 1})}[node]

    def needs(self, leaf: Leaf) -> frozenset[Leaf]:
        return frozenset({(0, 1)}) if leaf[0] == 1 else frozenset()


class Join(Workflow):
    """A & B: the JOIN is recorded with its last branch."""

    names = ("A", "B", "JOIN")
    steps = frozenset({0, 1})
    dsl = "'select ''a''' & 'select ''b'''"
    ids = "abf"

    def leaves(self, nodes: tuple[Node, ...]) -> tuple[Leaf, ...]:
        return tuple((n, 1) for n in (0, 1) if nodes[n].status != "completed")

    def settle(self, nodes: tuple[Node, ...], leaf: Leaf, alone: bool) -> Settled:
        own = Change(leaf[0], "completed")
        if nodes[1 - leaf[0]].status == "completed" and alone:
            return Settled((own, Change(2, "completed")), finishes=True)
        return Settled((own,))

    def rest(self, nodes: tuple[Node, ...]) -> tuple[Change, ...]:
        return (Change(2, "completed"),)

    def wrong(self, state: State) -> str:
        if state.nodes[2].status == "completed" and len(state.effects) < 2:
            return "the JOIN is recorded, and one of its branches has not run"
        return super().wrong(state)


class TwoSignals(Workflow):
    """Two waits, one after the other, for signals of the same name."""

    names = ("FIRST", "SECOND", "THEN")
    steps = frozenset()

    def leaves(self, nodes: tuple[Node, ...]) -> tuple[Leaf, ...]:
        return next((((n, 1),) for n in (0, 1) if nodes[n].status != "completed"), ())

    def settle(self, nodes: tuple[Node, ...], leaf: Leaf, alone: bool) -> Settled:
        if leaf[0] == 0:
            return Settled((Change(0, "completed"),))
        return Settled((Change(1, "completed"), Change(2, "completed")), finishes=True)
