"""The nodes of a graph, as a worker reads them from `df.nodes`.

Nodes and rows are named tuples: a worker makes thousands of them a second, and a frozen
dataclass takes three times as long to make.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from pg_durable.errors import InvalidWorkflow
from pg_durable.graph.waits import Wait, read_wait


class NodeType(StrEnum):
    """The node types this version can run."""

    SQL = "SQL"
    THEN = "THEN"
    IF = "IF"
    JOIN = "JOIN"
    RACE = "RACE"
    LOOP = "LOOP"
    BREAK = "BREAK"
    SLEEP = "SLEEP"
    WAIT_SCHEDULE = "WAIT_SCHEDULE"
    SIGNAL = "SIGNAL"
    HTTP = "HTTP"
    HTTP_MULTIPART = "HTTP_MULTIPART"


_KINDS = {kind.value: kind for kind in NodeType}
_WAITS = frozenset({NodeType.SLEEP, NodeType.WAIT_SCHEDULE, NodeType.SIGNAL})
REQUESTS = frozenset({NodeType.HTTP, NodeType.HTTP_MULTIPART})
LEAVES = frozenset({NodeType.SQL, NodeType.BREAK, *_WAITS, *REQUESTS})
TERMINAL = frozenset({"completed", "failed"})


class Node(NamedTuple):
    """One vertex: what it is, its children by id, and the name its result gets."""

    id: str
    type: NodeType
    query: str | None = None
    name: str | None = None
    left: str | None = None
    right: str | None = None
    condition: str | None = None
    extras: tuple[str, ...] = ()
    rows_of: str | None = None  # df.if_rows: the stored result it looks at
    wait: Wait | None = None  # what it waits for

    @property
    def children(self) -> tuple[str, ...]:
        """The ids of all children, in the order in which they are walked."""
        return tuple(c for c in (self.condition, self.left, self.right, *self.extras) if c)


class LoopRow(NamedTuple):
    """What the row of a LOOP holds besides."""

    entered_in: int  # the generation of its own for which the rest holds
    first: int  # number of the first iteration since it was entered
    iteration: int  # of the one under way
    names: str | None = None  # what is carried into it: see graph/loops.py


class Row(NamedTuple):
    """What `df.nodes` holds of a node's progress."""

    status: str
    generation: int  # the iteration of the loop around it; 1 where there is none
    result: str | None  # JSON text
    until: float | None  # when its wait ends, in seconds since 1970
    details: Mapping[str, Any] | None = None
    loop: LoopRow | None = None

    def ended_in(self, generation: int) -> bool:
        """Whether the node is finished in this generation."""
        return self.generation == generation and self.status in TERMINAL


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """A tree of nodes. `parents` and `loops` are derived: the root has no parent, and a node
    that is in no loop's body or condition has no loop."""

    root: str
    nodes: Mapping[str, Node]
    parents: Mapping[str, str]
    loops: Mapping[str, str]

    @classmethod
    def of(cls, root: str, nodes: Iterable[Node]) -> "Graph":
        """Build a graph, refusing one that cannot be walked.

        Raises:
            InvalidWorkflow: a child or the root is missing, a node has two parents, or a leaf no
                query, or children.
        """
        by_id = {node.id: node for node in nodes}
        if root not in by_id:
            raise InvalidWorkflow(f"The graph has no root node {root}.")
        parents: dict[str, str] = {}
        for node in by_id.values():
            if node.type in LEAVES:
                if node.query is None or node.left or node.right:
                    raise InvalidWorkflow(
                        f"{node.type} node {node.id} must have a query and no children."
                    )
                continue
            if node.left is None or (node.right is None and node.type is not NodeType.LOOP):
                raise InvalidWorkflow(f"{node.type} node {node.id} lacks a child.")
            for child in node.children:
                if child not in by_id:
                    raise InvalidWorkflow(f"Node {node.id} names a child {child} that is missing.")
                if child in parents or child == root:
                    raise InvalidWorkflow(f"Node {child} has more than one parent.")
                parents[child] = node.id
        loops: dict[str, str] = {}
        for node in by_id.values():
            if node.type is NodeType.LOOP:
                loops |= dict.fromkeys(_own(node, by_id), node.id)
        return cls(root=root, nodes=by_id, parents=parents, loops=loops)

    def subtree(self, node: str) -> list[str]:
        """A node and all below it, children before parents."""
        found = []
        pending = [node]
        while pending:
            found.append(pending.pop())
            pending.extend(self.nodes[found[-1]].children)
        return found[::-1]

    def lock_order(self, node: str) -> tuple[int, str]:
        """A sort key: deeper nodes first, as all writers lock the rows of an instance."""
        return -len(self.ancestors(node)), node

    def ancestors(self, node: str) -> list[str]:
        """The nodes around a node, innermost first."""
        found = []
        parent = self.parents.get(node)
        while parent is not None:
            found.append(parent)
            parent = self.parents.get(parent)
        return found


def _own(loop: Node, nodes: Mapping[str, Node]) -> list[str]:
    """What is inside a loop, and inside none of those within it."""
    found = []
    pending = list(loop.children)
    while pending:
        found.append(pending.pop())
        if nodes[found[-1]].type is not NodeType.LOOP:
            pending.extend(nodes[found[-1]].children)
    return found


def make_node(
    node_id: str,
    node_type: str,
    query: str | None,
    name: str | None,
    left: str | None,
    right: str | None,
) -> Node:
    """Read one row of `df.nodes`, unfolding the configuration kept in `query`.

    Raises:
        InvalidWorkflow: a type this version cannot run, or an unreadable configuration.
    """
    kind = _KINDS.get(node_type)
    if kind is None:
        raise InvalidWorkflow(f"This version cannot run {node_type} nodes.")
    if kind in _WAITS:
        return Node(node_id, kind, query, name, wait=read_wait(kind, node_id, query))
    if kind in LEAVES or (query is None and kind is not NodeType.IF):
        return Node(node_id, kind, query, name, left, right)

    try:
        config = json.loads(query or "{}")
    except (ValueError, RecursionError):
        config = None
    if not isinstance(config, dict):
        raise InvalidWorkflow(f"{kind} node {node_id}: its configuration is not a JSON object.")
    condition = config.get("condition_node")
    rows_of = config.get("result_name") if "condition_type" in config else None
    if not isinstance(rows_of, str | None) or not isinstance(condition, str | None):
        raise InvalidWorkflow(f"{kind} node {node_id}: its configuration names no node or result.")
    if kind is NodeType.IF and condition is None and rows_of is None:
        raise InvalidWorkflow("IF node missing condition_node")
    extras = config.get("extra_nodes", []) if kind is NodeType.JOIN else []
    if not isinstance(extras, list) or not all(isinstance(extra, str) for extra in extras):
        raise InvalidWorkflow(f"JOIN node {node_id}: its extra_nodes are not a list of nodes.")
    return Node(
        id=node_id,
        type=kind,
        name=name,
        left=left,
        right=right,
        condition=condition,
        extras=tuple(extras),
        rows_of=rows_of,
    )
