"""What the engine's calls take and give: instances, signals, what is to be recorded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import orjson

from pg_durable.graph.json_text import storable
from pg_durable.graph.outcomes import Change, Done, Failed, Outcome
from pg_durable.wire.arrays import int_array, text_array

# Of generations and statuses few arrays differ.
_generations = lru_cache(maxsize=1024)(int_array)
_statuses = lru_cache(maxsize=1024)(text_array)
_MOST_ALIKE = 4  # nodes that df._checkpoint_alike takes


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """An instance this worker now holds, with its graph as rows."""

    id: str
    label: str | None
    database: str | None
    role: str
    root: str
    variables: Mapping[str, str]
    attempts: int
    refusal: str | None
    clock: float  # the server's, in seconds since 1970
    nodes: Sequence[Sequence[Any]]  # the columns of df._claim's nodes, in their order

    @classmethod
    def of(cls, row: Sequence[str | None]) -> "Claimed":
        """A row of df._claim, as texts."""
        id_, label, database, role, root, vars_, attempts, refusal, clock, nodes = row
        variables = _texts_by_name(vars_)
        if variables is None:
            refusal = refusal or f"Instance {id_}: its vars are not a JSON object of texts."
        return cls(
            id=id_ or "",
            label=label,
            database=database,
            role=role or "",
            root=root or "",
            variables=variables or {},
            attempts=int(attempts or 0),
            refusal=refusal,
            clock=float(clock or 0),
            nodes=orjson.loads(nodes) if nodes else [],
        )


class Claims(NamedTuple):
    """What was claimed; where that is nothing, in how many seconds the next instance is due."""

    instances: list[Claimed]
    next_due: float = float("inf")


class Place(NamedTuple):
    """How far the removal of instances of one status has come, in the order of their starts."""

    created_at: str = ""  # as the server writes it
    id: str = ""


class Left(NamedTuple):
    """What a node has left for walking on: a result, details, what a loop carries."""

    result: str | None  # JSON text
    details: Mapping[str, Any] | None
    names: str | None  # JSON text


class Signal(NamedTuple):
    """A signal that no wait has taken yet."""

    id: int
    name: str
    data: str  # JSON text


class Permit(NamedTuple):
    """What an instance's role may send, and with what."""

    role: str
    allowed: bool  # whether it may execute the function of such a step
    policy: str | None  # http_policy, where the database has one
    secrets: Mapping[tuple[str, str], str]  # values by name and reference


@dataclass(slots=True, kw_only=True)
class Saving:
    """Progress of one instance that is recorded without a statement of the user."""

    instance: str
    changes: Sequence[Change] = ()
    running: Sequence[tuple[str, int]] = ()  # node, generation
    waits: Sequence[tuple[str, int, float | None]] = ()  # node, generation, end
    resumed: Sequence[str] = ()  # loops whose pause is over
    then: str | None = None  # park, release, completed, failed
    delay: float = 0.0
    attempts: int = 0
    output: str | None = None

    @property
    def size(self) -> int:
        """Characters of results."""
        return sum(len(change.result or "") for change in self.changes)

    def as_json(self) -> dict[str, object]:
        """The item that df._save takes."""
        return {
            "instance": self.instance,
            "nodes": [change.node for change in self.changes],
            "generations": [change.generation for change in self.changes],
            "statuses": [change.status for change in self.changes],
            "results": [change.result for change in self.changes],
            "details": [change.details for change in self.changes],
            "running": [node for node, _ in self.running],
            "running_generations": [generation for _, generation in self.running],
            "waits": [{"node": n, "generation": g, "until": u} for n, g, u in self.waits],
            "resumed": self.resumed,
            "then": self.then,
            "delay": self.delay,
            "attempts": self.attempts,
            "output": None if self.output is None else storable(self.output),
        }


class Checkpoint(NamedTuple):
    """What a step's transaction records beside the statement's effects."""

    instance: str
    worker: int
    changes: Sequence[Change]
    outcome: Outcome | None  # of the whole instance

    def params(self) -> list[bytes | None]:
        """The parameters of df._end_step: arrays in binary form, everything else as text."""
        instance, worker, changes, outcome = self
        first = changes[0]
        result = first.plain_result
        named = [instance.encode(), b"%d" % worker, text_array([change.node for change in changes])]
        status = None
        if outcome is not None:
            status = b"completed" if isinstance(outcome, Done) else b"failed"
        if (
            result is not None
            and status != b"failed"
            and len(changes) <= _MOST_ALIKE
            and all(change.is_like(first) for change in changes)
        ):  # nearly always
            alike = [b"%d" % first.generation, result.encode()]
            return [*named, *alike, None, None, None, None, status, None]
        return [
            *named,
            None,
            None,
            _generations(tuple([change.generation for change in changes])),
            _statuses(tuple([change.status for change in changes])),
            text_array([change.result for change in changes]),
            text_array([change.details for change in changes]),
            status,
            storable(outcome.message).encode() if isinstance(outcome, Failed) else None,
        ]


class Role(NamedTuple):
    """What a session that takes a role must know of it."""

    superuser: bool
    login: bool
    defaults: Mapping[str, str]  # of `alter role … set`


def _texts_by_name(json_text: str | None) -> Mapping[str, str] | None:
    """What `vars` holds; None: not what `df.start` writes there."""
    if not json_text:
        return {}
    try:
        value = orjson.loads(json_text)
    except ValueError:
        return None
    if isinstance(value, dict) and all(isinstance(text, str) for text in value.values()):
        return value
    return None
