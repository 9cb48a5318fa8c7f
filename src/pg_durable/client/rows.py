"""What a client sees of instances and nodes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson

ENDED = frozenset({"completed", "failed", "cancelled"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One started workflow.

    `duration` is from the start to the end, or until now; `executions` counts the iterations
    of a loop at the root; `error` says why it failed or was cancelled; `failure` has, of a
    failed one, what is known of: message, sqlstate, detail, hint, position, node, statement.
    """

    id: str
    label: str | None
    status: str
    role: str
    database: str | None
    root_node: str
    created_at: datetime
    ended_at: datetime | None
    duration: timedelta
    executions: int
    error: str | None
    failure: Mapping[str, Any] | None

    @property
    def ended(self) -> bool:
        """Whether its status is final."""
        return self.status in ENDED


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some instances, newest first, and the cursor of the next page (None: there is none)."""

    instances: Sequence[Instance]
    next_cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One node of an instance's graph.

    `status` is as seen from the nodes around it: one that will never run is `skipped`.
    `result` is JSON text. `iteration` is, of a loop that runs or has run, the number of the one
    under way, or the last; it counts from 1 whenever the loop is entered. `details` has, among
    others, the `sqlstate` and `hint` of a failure, and the `statement` that failed.
    """

    id: str
    type: str
    query: str | None
    name: str | None
    left_node: str | None
    right_node: str | None
    status: str
    result: str | None
    iteration: int | None
    details: Mapping[str, Any]
    updated_at: datetime | None

    @property
    def children(self) -> list[str]:
        """The ids of the nodes right below, in the order in which they are entered."""
        further: Mapping[str, Any] = {}
        if self.type in ("IF", "LOOP", "JOIN") and self.query:
            further = orjson.loads(self.query)
        ids = [self.left_node, self.right_node, *further.get("extra_nodes", ())]
        ids.insert(0 if self.type == "IF" else len(ids), further.get("condition_node"))
        return [id_ for id_ in ids if id_ is not None]

    @property
    def error(self) -> str | None:
        """Why it failed; None if it did not."""
        if self.status != "failed" or self.result is None:
            return None
        text = orjson.loads(self.result)
        return text if isinstance(text, str) else self.result


def in_order(nodes: Sequence[Node], root: str) -> list[Node]:
    """The nodes of a tree as they are read: the root first, each before its children."""
    by_id = {node.id: node for node in nodes}
    ordered: list[Node] = []
    agenda = [root]
    while agenda:
        if (node := by_id.pop(agenda.pop(), None)) is not None:
            ordered.append(node)
            agenda.extend(reversed(node.children))
    return ordered
