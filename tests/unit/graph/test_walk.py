"""The walk: what comes next is a pure function of the graph and its rows."""

import json
from dataclasses import dataclass, field

import pytest

from pg_durable.errors import InvalidWorkflow
from pg_durable.graph.nodes import Graph, Node, NodeType, Row, make_node
from pg_durable.graph.outcomes import Done, Failed, Progress
from pg_durable.graph.walk import Walk

FRESH = Row(status="pending", generation=1, result=None, until=None)


@dataclass
class Build:
    """Builds graphs bottom-up; ids are numbers, by position."""

    nodes: list[Node] = field(default_factory=list)

    def add(self, kind: NodeType, **parts: object) -> str:
        node = Node(id=str(len(self.nodes) + 1), type=kind, **parts)  # type: ignore[arg-type]
        self.nodes.append(node)
        return node.id

    def sql(self, name: str | None = None) -> str:
        return self.add(NodeType.SQL, query="select 1", name=name)

    def then(self, left: str, right: str, name: str | None = None) -> str:
        return self.add(NodeType.THEN, left=left, right=right, name=name)

    def walk(self, root: str, rows: dict[str, Row] | None = None) -> Walk:
        graph = Graph.of(root, self.nodes)
        return Walk(graph, {node.id: FRESH for node in self.nodes} | (rows or {}))


def ids(progress: Progress) -> list[str]:
    return [leaf.node.id for leaf in progress.leaves]


def changes(progress: Progress) -> list[tuple[str, str]]:
    return [(change.node, change.status) for change in progress.changes]


def rows_of(value: object) -> Done:
    return Done(json.dumps({"rows": [{"v": value}], "row_count": 1}))


def test_a_sequence_runs_left_then_right_and_completes_with_the_right() -> None:
    build = Build()
    a, b = build.sql(), build.sql()
    root = build.then(a, b)
    walk = build.walk(root)

    first = walk.begin()
    second = walk.settle(first.leaves[0], Done("1"))
    last = walk.settle(second.leaves[0], Done("2"))

    assert (ids(first), ids(second), ids(last)) == ([a], [b], [])
    assert changes(last) == [(b, "completed"), (root, "completed")]
    assert last.outcome == Done("2")


def test_a_failure_leaves_what_follows_unentered() -> None:
    build = Build()
    a, b = build.sql(), build.sql()
    root = build.then(a, b)
    walk = build.walk(root)

    progress = walk.settle(walk.begin().leaves[0], Failed("no"))

    assert progress.leaves == []
    assert changes(progress) == [(a, "failed"), (root, "failed")]
    assert progress.outcome == Failed("no", {"node": a})


@pytest.mark.parametrize(("value", "chosen"), [(True, "then"), (False, "else"), (0, "else")])
def test_a_condition_chooses_the_branch(value: object, chosen: str) -> None:
    build = Build()
    branches = {"then": build.sql(), "else": build.sql()}
    condition = build.sql()
    root = build.add(
        NodeType.IF, condition=condition, left=branches["then"], right=branches["else"]
    )
    walk = build.walk(root)

    progress = walk.settle(walk.begin().leaves[0], rows_of(value))

    assert ids(progress) == [branches[chosen]]


def test_a_join_waits_for_all_branches_and_keeps_their_order() -> None:
    build = Build()
    a, b, c = build.sql(), build.sql(), build.sql()
    root = build.add(NodeType.JOIN, left=a, right=b, extras=(c,))
    walk = build.walk(root)
    leaves = walk.begin().leaves

    walk.settle(leaves[2], Done("3"))
    walk.settle(leaves[0], Failed("first"))
    progress = walk.settle(leaves[1], Failed("second"))

    assert progress.outcome == Failed("JOIN branch 1 failed: first", {"node": a})


def test_branches_do_not_see_each_other_and_are_merged_in_order() -> None:
    build = Build()
    outer = build.sql("x")
    left = build.then(build.sql("x"), build.sql())
    right = build.then(build.sql("y"), build.sql())
    join = build.add(NodeType.JOIN, left=left, right=right)
    after = build.sql()
    root = build.then(build.then(outer, join), after)
    walk = build.walk(root)

    branches = walk.settle(walk.begin().leaves[0], Done('"outer"')).leaves
    in_left = walk.settle(branches[0], Done('"new"')).leaves[0]
    in_right = walk.settle(branches[1], Done('"y"')).leaves[0]
    walk.settle(in_left, Done("1"))
    last = walk.settle(in_right, Done("2")).leaves[0]

    assert in_left.scope.names == {"x": '"new"'}
    assert in_right.scope.names == {"x": '"outer"', "y": '"y"'}
    # The right branch inherited the old x; only what it stored itself is merged.
    assert last.scope.names == {"x": '"new"', "y": '"y"'}


def test_the_first_branch_to_finish_wins_the_race_and_stops_the_other() -> None:
    build = Build()
    a = build.sql("x")
    c, d = build.sql(), build.sql()
    right = build.then(c, d)
    race = build.add(NodeType.RACE, left=a, right=right)
    after = build.sql()
    walk = build.walk(build.then(race, after))
    left_leaf, right_leaf = walk.begin().leaves

    progress = walk.settle(left_leaf, Done("1"))
    too_late = walk.settle(right_leaf, Done("2"))

    assert ids(progress) == [after]
    assert progress.losers == {c, d, right}
    assert progress.leaves[0].scope.names == {"x": "1"}
    assert (too_late.changes, too_late.leaves) == ([], [])


def test_a_branch_that_fails_first_fails_the_race() -> None:
    build = Build()
    a, b = build.sql(), build.sql()
    walk = build.walk(build.add(NodeType.RACE, left=a, right=b))

    progress = walk.settle(walk.begin().leaves[1], Failed("no"))

    assert progress.outcome == Failed("RACE right branch failed: no", {"node": b})


@pytest.mark.parametrize(
    ("stored", "error"),
    [
        (None, "df.if_rows: result 'r' not found"),
        ("[1]", "df.if_rows: result 'r' is not a SQL result (missing row_count)"),
    ],
)
def test_if_rows_fails_without_a_row_set(stored: str | None, error: str) -> None:
    build = Build()
    first = build.sql("r" if stored else None)
    choice = build.add(NodeType.IF, rows_of="r", left=build.sql(), right=build.sql())
    walk = build.walk(build.then(first, choice))

    progress = walk.settle(walk.begin().leaves[0], Done(stored or "1"))

    assert isinstance(progress.outcome, Failed)
    assert progress.outcome.message == error


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("a", "PYTHON", None, None, "b", "c"), "This version cannot run PYTHON nodes."),
        (("a", "IF", "[]", None, "b", "c"), "IF node a: its configuration is not a JSON object."),
        (("a", "IF", "{}", None, "b", "c"), "IF node missing condition_node"),
    ],
)
def test_a_row_that_cannot_be_walked_is_refused(
    row: tuple[str, str, str | None, str | None, str, str], message: str
) -> None:
    with pytest.raises(InvalidWorkflow, match=message):
        make_node(*row)


def test_a_graph_with_a_missing_or_shared_child_is_refused() -> None:
    shared = Build()
    a = shared.sql()
    root = shared.then(a, a)
    with pytest.raises(InvalidWorkflow, match="more than one parent"):
        shared.walk(root)
    with pytest.raises(InvalidWorkflow, match="missing"):
        Graph.of("1", [Node(id="1", type=NodeType.THEN, left="2", right="3")])


def test_a_chain_of_thousands_needs_no_recursion() -> None:
    build = Build()
    root = build.sql()
    for _ in range(5000):
        root = build.then(root, build.sql())
    done = {
        node.id: Row(status="completed", generation=1, result="1", until=None)
        for node in build.nodes
    }

    progress = build.walk(root, done).begin()

    assert progress.outcome == Done("1")
    assert progress.changes == []
