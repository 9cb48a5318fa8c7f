"""The walk over a graph: which leaves to run next, and what their outcomes settle.

A walk is a pure function of the graph, its rows and the instance's variables. A finished leaf
answers from its row, so resuming after a crash is walking again from the root. The engine asks
`begin()` for the first leaves, runs them, and tells `settle()` each outcome; both return what to
record and which leaves come next. Nothing here waits, connects or looks at a clock; how fast
loops may go is asked of a `Pace`.
"""

from collections.abc import Mapping

from pg_durable.graph.entering import enter
from pg_durable.graph.leaving import leave
from pg_durable.graph.loops import Pace, Unpaced
from pg_durable.graph.nodes import Graph, NodeType, Row
from pg_durable.graph.outcomes import Leaf, Outcome, Progress, Scope
from pg_durable.graph.state import Advance, State

_LOOP = NodeType.LOOP


class Walk:
    """One run of a graph, in memory."""

    def __init__(
        self,
        graph: Graph,
        rows: Mapping[str, Row],
        variables: Mapping[str, str] | None = None,
        pace: Pace | None = None,
        max_iterations: int = 0,
        max_result: int = 64 * 1024 * 1024,
    ) -> None:
        self.graph = graph
        self._state = State(
            graph, rows, variables or {}, pace or Unpaced(), max_iterations, max_result
        )

    def begin(self) -> Progress:
        """Enter the root, passing over everything that is finished already."""
        state = self._state
        return _run(Advance(state, [(state.node(self.graph.root), Scope())]))

    def settle(
        self, leaf: Leaf, outcome: Outcome, marks: Mapping[str, object] | None = None
    ) -> Progress:
        """Take a leaf's outcome, and follow it up the tree and down again.

        `marks` is what to keep beside its result. The end of a LOOP's wait is its outcome.
        """
        state, node = self._state, leaf.node
        if state.lost(leaf):
            return Progress()
        del state.open[node.id]
        if node.type is _LOOP:
            return _run(Advance(state, [(state.node(node.left), state.iterate(node))]))
        return _run(Advance(state, [(node, outcome)], marks))

    def lost(self, leaf: Leaf) -> bool:
        """Whether the leaf has lost a race: its outcome does not count any more."""
        return self._state.lost(leaf)

    def generation(self, node: str) -> int:
        """The iteration of the loop around a node; 1 where there is none."""
        return self._state.generation(node)


def _run(advance: Advance) -> Progress:
    agenda, progress = advance.agenda, advance.progress
    while agenda:
        node, what = agenda.pop()
        if isinstance(what, Scope):
            enter(advance, node, what)
        else:
            leave(advance, node, what)
    if progress.losers:
        lost = advance.state.lost
        progress.leaves = [leaf for leaf in progress.leaves if not lost(leaf)]
    return progress
