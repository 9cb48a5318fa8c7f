"""Resuming is walking again from the rows: a new walk stands where the old one is."""

import json
from collections.abc import Collection
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from pg_durable.graph.nodes import Graph, LoopRow, Node, NodeType, Row
from pg_durable.graph.outcomes import (
    Change,
    Done,
    Failed,
    Iterated,
    Leaf,
    Outcome,
    Progress,
    Stopped,
)
from pg_durable.graph.walk import Walk


@dataclass
class Build:
    """Builds graphs bottom-up; ids are numbers, by position."""

    nodes: list[Node] = field(default_factory=list)

    def add(self, kind: NodeType, *children: str, name: str | None = None, **parts: str) -> str:
        left, right = (*children, None, None)[:2]
        self.nodes.append(
            Node(
                id=str(len(self.nodes) + 1),
                type=kind,
                name=name,
                left=left,
                right=right,
                extras=children[2:],
                **parts,  # type: ignore[arg-type]
            )
        )
        return self.nodes[-1].id


class Rows:
    """What df._record does with changes; a refused one fails the test."""

    def __init__(self, nodes: list[Node]) -> None:
        self.rows = {node.id: Row("pending", 1, None, None) for node in nodes}
        self._stopped_through = dict.fromkeys(self.rows, 0)

    def record(self, change: Change) -> None:
        row, generation = self.rows[change.node], change.generation
        free = row.generation < generation or not row.ended_in(generation)
        if isinstance(change.outcome, Stopped):
            if free and row.generation <= generation:
                self._stopped_through[change.node] = generation
                self._keep_iteration(change)
            return
        assert free
        assert row.generation <= generation
        assert self._stopped_through[change.node] < generation
        if isinstance(change.outcome, Iterated):
            first, iteration, names, until, _ = change.outcome
            loop = LoopRow(generation, first, iteration, names)
            self.rows[change.node] = Row("running", generation, None, until, None, loop)
        else:
            details = json.loads(change.details or "{}")
            details = {k: v for k, v in details.items() if k not in ("first", "iteration")}
            self.rows[change.node] = row._replace(
                status=change.status,
                generation=generation,
                result=change.result,
                until=None,
                details=details,
            )
            self._keep_iteration(change)

    def _keep_iteration(self, change: Change) -> None:
        if "iteration" not in (change.marks or {}):
            return
        marks, row = change.marks or {}, self.rows[change.node]
        if isinstance(change.outcome, Stopped):
            loop = row.loop or LoopRow(0, 0, 0)
            self.rows[change.node] = row._replace(loop=loop._replace(iteration=marks["iteration"]))
        else:
            kept = row.loop.names if row.loop and row.loop.entered_in == row.generation else None
            loop = LoopRow(row.generation, marks["first"], marks["iteration"], kept)
            self.rows[change.node] = row._replace(loop=loop)


class SometimesSlow:
    """Every third iteration has to wait."""

    def __init__(self) -> None:
        self.asked = 0

    def begun(self, loop: Node) -> None:
        """See `Pace`."""

    def next_at(self, loop: Node) -> float | None:
        """See `Pace`."""
        self.asked += 1
        return 1.0 if self.asked % 3 == 0 else None


NAMES = st.sampled_from([None, "x", "y"])
BREAKS = st.sampled_from(['{"break_value":null}', '{"break_value":"$x of {v}"}'])


def graphs(build: Build, depth: int) -> st.SearchStrategy[str]:
    """Random trees of all composites, with names that collide on purpose, and breaks anywhere."""
    step = NAMES.map(lambda name: build.add(NodeType.SQL, name=name, query="select 1"))
    leaf = st.one_of(step, step, BREAKS.map(lambda q: build.add(NodeType.BREAK, query=q)))
    if depth == 0:
        return leaf
    inner = st.deferred(lambda: graphs(build, depth - 1))
    add = build.add
    return st.one_of(
        leaf,
        st.builds(lambda a, b, n: add(NodeType.THEN, a, b, name=n), inner, inner, NAMES),
        st.builds(lambda c, a, b: add(NodeType.IF, a, b, condition=c), inner, inner, inner),
        st.builds(lambda a, b: add(NodeType.RACE, a, b), inner, inner),
        st.builds(lambda a, b, c: add(NodeType.JOIN, a, b, c), inner, inner, inner),
        st.builds(lambda a, n: add(NodeType.LOOP, a, name=n), inner, NAMES),
        st.builds(lambda a, c: add(NodeType.LOOP, a, condition=c), inner, inner),
    )


RESULTS = st.one_of(
    st.sampled_from(
        [
            Done('{"rows":[{"v":true}],"row_count":1}'),
            Done('{"rows":[{"v":0}],"row_count":1}'),
            Done('{"rows":[],"row_count":0}', ("v",)),
        ]
    ),
    st.just(Failed("no")),
)


def places(walk: Walk, leaves: list[Leaf]) -> dict[str, tuple[int, dict[str, str], float | None]]:
    """Where a walk stands: the leaves that are open, with what they see."""
    return {
        leaf.node.id: (leaf.generation, leaf.scope.names, leaf.until)
        for leaf in leaves
        if not walk.lost(leaf)
    }


def caught_up(walk: Walk, waiting: Collection[str]) -> Progress:
    """Begin, and pass the pauses of loops that are over: their rows do not tell."""
    progress = walk.begin()
    for leaf in progress.leaves:
        if leaf.node.type is NodeType.LOOP and leaf.node.id not in waiting:
            more = walk.settle(leaf, Done("null"))
            progress.changes += more.changes
            progress.leaves += more.leaves
            progress.outcome = progress.outcome or more.outcome
    progress.leaves = [leaf for leaf in progress.leaves if not walk.lost(leaf)]
    return progress


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_walking_again_from_the_rows_gives_the_same_next_leaves(data: st.DataObject) -> None:
    build = Build()
    root = data.draw(graphs(build, 4))
    graph = Graph.of(root, build.nodes)
    rows = Rows(build.nodes)
    walk = Walk(graph, rows.rows.copy(), {"v": "1"}, SometimesSlow(), 0, 10_000)
    progress = walk.begin()
    waiting: list[Leaf] = []
    outcome: Outcome | None = None

    for _ in range(60):
        for change in progress.changes:
            rows.record(change)
        waiting = [leaf for leaf in [*waiting, *progress.leaves] if not walk.lost(leaf)]
        outcome = progress.outcome or outcome

        # A crash here, and another worker: it sees what this one sees, names included.
        other = Walk(graph, rows.rows.copy(), {"v": "1"}, SometimesSlow(), 0, 10_000)
        again = caught_up(other, places(walk, waiting).keys())
        assert again.changes == []
        assert places(other, again.leaves) == places(walk, waiting)
        assert again.outcome == outcome
        if not waiting:
            break
        if data.draw(st.booleans()):
            walk, waiting = other, again.leaves
        leaf = data.draw(st.sampled_from(sorted(waiting, key=lambda leaf: leaf.node.id)))
        progress = walk.settle(leaf, data.draw(RESULTS))

    assert waiting or outcome is not None
