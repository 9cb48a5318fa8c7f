"""What a walk knows: between one outcome and the next, and on the way from one to the next."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pg_durable.graph.branches import Branches
from pg_durable.graph.loops import Loop, Pace
from pg_durable.graph.nodes import Graph, Node, Row
from pg_durable.graph.outcomes import Leaf, Outcome, Progress, Scope


@dataclass(slots=True)
class State:
    """A graph with its rows as they were read, and how far it has been walked since."""

    graph: Graph
    rows: Mapping[str, Row]
    variables: Mapping[str, str]
    pace: Pace
    max_iterations: int  # of a loop; 0: any number
    max_result: int  # characters
    open: dict[str, Leaf] = field(default_factory=dict)  # that are being run or waited for
    scopes: dict[str, Scope] = field(default_factory=dict)  # of the nodes that are entered
    branches: dict[str, Branches] = field(default_factory=dict)  # of joins and races entered
    loops: dict[str, Loop] = field(default_factory=dict)  # the last state of each, even if ended

    def node(self, node_id: str | None) -> Node:
        """The node of an id that the checks of the table let nobody leave out."""
        assert node_id is not None
        return self.graph.nodes[node_id]

    def generation(self, node: str) -> int:
        """The iteration of the loop around a node; 1 where there is none."""
        loop = self.graph.loops.get(node)
        return 1 if loop is None else self.loops[loop].iteration

    def ended(self, node: str) -> bool:
        """Whether the node's row says that it has ended in this generation."""
        return self.rows[node].ended_in(self.generation(node))

    def lost(self, leaf: Leaf) -> bool:
        """Whether the leaf has lost a race: its outcome does not count any more."""
        return self.open.get(leaf.node.id) is not leaf

    def iterate(self, loop: Node) -> Scope:
        """Begin an iteration; what its nodes see."""
        self.pace.begun(loop)
        state = self.loops[loop.id]
        state.body = None
        return state.scope


@dataclass(slots=True)
class Advance:
    """The way from one outcome, or the root, to the leaves that come next."""

    state: State
    # In place of recursion, for a graph may be long and deep: nodes to be entered, with what they
    # can see, and nodes to be left, with what they have come to.
    agenda: list[tuple[Node, Scope | Outcome]]
    marks: Mapping[str, object] | None = None  # to keep beside the next result
    progress: Progress = field(default_factory=Progress)
    iterated: set[str] = field(default_factory=set)  # loops that have begun an iteration

    def issue(self, leaf: Leaf) -> None:
        """Have a leaf run, or waited for."""
        self.state.open[leaf.node.id] = leaf
        self.progress.leaves.append(leaf)
