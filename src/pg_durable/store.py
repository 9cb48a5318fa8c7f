"""The `df._…` functions, one typed coroutine each. No other module names them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson
from psycopg import pq

from pg_durable.errors import PgDurableError
from pg_durable.graph.outcomes import Change, Done, Failed, Outcome
from pg_durable.wire import ConnectionLost, Wire
from pg_durable.wire.arrays import int_array, text_array

CHANNEL = "pg_durable"
BUSY = "busy"
LOCKED = "55P03"  # SQLSTATE: somebody held a row for longer than lock_timeout
# What notifications begin with that name an instance: it was cancelled, or sent a signal.
CANCELLED = b"cancel "
SIGNALLED = b"signal "

# Text, int8, text[] and int4[]: the parameters of df._checkpoint.
CHECKPOINT = "select df._checkpoint($1, $2, $3, $4, $5, $6, $7, $8, $9)"
CHECKPOINT_TYPES = (25, 20, 1009, 1007, 1009, 1009, 1009, 25, 25)
CHECKPOINT_FORMATS = (0, 0, 1, 1, 1, 1, 1, 0, 0)
DEALLOCATE = "select df._deallocate()"
TO_JSON = "select * from unnest(df._to_json($1, $2))"
TO_JSON_TYPES = (26, 1009)
TO_JSON_FORMATS = (0, 1)


class StoreError(PgDurableError):
    """The server rejected a call of ours; carries its SQLSTATE and words."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


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
            "output": self.output,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What a step's transaction records beside the statement's effects."""

    instance: str
    worker: int
    changes: Sequence[Change]
    outcome: Outcome | None  # of the whole instance

    def params(self) -> list[bytes | None]:
        """The parameters of CHECKPOINT, in CHECKPOINT_FORMATS."""
        nodes, generations, statuses, results, details = [], [], [], [], []
        for change in self.changes:
            nodes.append(change.node)
            generations.append(change.generation)
            statuses.append(change.status)
            results.append(change.result)
            details.append(change.details)
        outcome = self.outcome
        status = None
        if outcome is not None:
            status = b"completed" if isinstance(outcome, Done) else b"failed"
        return [
            self.instance.encode(),
            b"%d" % self.worker,
            text_array(nodes),
            int_array(generations),
            text_array(statuses),
            text_array(results),
            text_array(details),
            status,
            outcome.message.encode(errors="replace") if isinstance(outcome, Failed) else None,
        ]


class Store:
    """The engine's calls, on a session of the worker's own role."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def register(self, name: str) -> int:
        """Enter this worker into the list of living ones. For the control session only."""
        return int((await self._row("select df._register($1)", name))[0] or 0)

    async def unregister(self, worker: int) -> None:
        """Leave, giving back what is still held."""
        await self._rows("select df._unregister($1)", worker)

    async def heartbeat(self, worker: int) -> bool:
        """Renew the lease. False: this worker was declared dead meanwhile."""
        return (await self._row("select df._heartbeat($1)", worker))[0] == "t"

    async def take_over(self, worker: int, lease: float) -> int:
        """Make due what dead workers held; returns how many instances."""
        row = await self._row("select df._take_over($1, $2)", worker, lease)
        return int(row[0] or 0)

    async def sweep(self) -> None:
        """Delete the signals of instances that have ended."""
        await self._rows("select df._sweep()")

    async def listen(self) -> None:
        """Hear of wake-ups on this session."""
        await self._rows(f"listen {CHANNEL}")

    async def show_idle(self) -> bool:
        """Let starters know that somebody waits to be notified."""
        row = await self._row("select pg_catalog.pg_try_advisory_lock_shared(df._lock_class(), 0)")
        return row[0] == "t"

    async def show_busy(self) -> None:
        """Let starters know that the next claim comes anyway."""
        await self._rows("select pg_catalog.pg_advisory_unlock_shared(df._lock_class(), 0)")

    async def claim(self, worker: int, limit: int) -> list[Claimed]:
        """Claim up to `limit` due instances, oldest first."""
        rows = await self._rows(
            "select id, label, database, role, root_node, vars, attempts, refusal, clock, nodes"
            " from df._claim($1, $2)",
            worker,
            limit,
        )
        return [_claimed(row) for row in rows]

    async def until_next_due(self) -> float:
        """Seconds until the next instance is due; infinite when none will be by itself."""
        (row,) = await self._rows("select df._until_next_due()")
        return float("inf") if row[0] is None else float(row[0])

    async def left_by_nodes(self, instance: str) -> dict[str, Left]:
        """What the nodes of an instance have left for walking on, by node."""
        rows = await self._rows(
            "select node, result, details, names from df._results($1)", instance
        )
        return {
            node or "": Left(result, None if details is None else orjson.loads(details), names)
            for node, result, details, names in rows
        }

    async def pending_signals(
        self, instance: str, wanted: Mapping[str, int], taken: Collection[int]
    ) -> list[Signal]:
        """The oldest signals of the names wanted, as many of each, leaving out those taken."""
        rows = await self._rows(
            "select id, name, data from df._pending_signals($1, $2, $3)",
            instance,
            orjson.dumps([{"name": name, "count": count} for name, count in wanted.items()]),
            orjson.dumps(list(taken)),
        )
        return [Signal(int(id_ or 0), name or "", data or "null") for id_, name, data in rows]

    async def permit(
        self, worker: int, instance: str, function: str, secrets: Sequence[tuple[str, str]]
    ) -> Permit | None:
        """Whether the instance's role may send a request now, and the secrets that it needs.

        None: the worker does not hold the instance any more.
        """
        rows = await self._rows(
            "select role, allowed, policy, secrets from df._permit($1, $2, $3, $4)",
            worker,
            instance,
            function,
            orjson.dumps([list(secret) for secret in secrets]),
        )
        if not rows:
            return None
        role, allowed, policy, found = rows[0]
        values = orjson.loads(found or "[]")
        return Permit(
            role or "", allowed == "t", policy, {(name, ref): v for name, ref, v in values}
        )

    async def lost(self, worker: int, instances: Sequence[str]) -> list[str]:
        """Which of the instances this worker does not hold any more."""
        rows = await self._rows(
            "select * from df._lost($1, $2)", worker, orjson.dumps(list(instances))
        )
        return [row[0] for row in rows if row[0]]

    async def save(self, worker: int, savings: Sequence[Saving]) -> dict[str, str]:
        """Record progress of many instances in one commit; returns those not recorded, and why:
        `lost` to another worker or a cancellation, or `busy`, to be tried again."""
        items = orjson.dumps([saving.as_json() for saving in savings])
        rows = await self._rows("select * from df._save($1, $2)", worker, items)
        return {row[0]: row[1] or "" for row in rows if row[0]}

    async def _row(self, statement: str, *params: object) -> Sequence[str | None]:
        return (await self._rows(statement, *params))[0]

    async def _rows(self, statement: str, *params: object) -> list[list[str | None]]:
        encoded = [p if isinstance(p, bytes) else str(p).encode() for p in params]
        self._wire.execute(statement, encoded)
        (result,) = await self._wire.sync()
        if result.status not in (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK):
            raise _store_error(result)
        return [
            [
                None if (value := result.get_value(row, column)) is None else value.decode()
                for column in range(result.nfields)
            ]
            for row in range(result.ntuples)
        ]


def _store_error(result: pq.abc.PGresult) -> Exception:
    code = (result.error_field(pq.DiagnosticField.SQLSTATE) or b"XX000").decode()
    message = (result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) or b"").decode(
        "utf-8", "replace"
    )
    if code.startswith(("08", "57P")):  # the server is going away
        return ConnectionLost(message)
    return StoreError(message, code)


def _claimed(row: Sequence[str | None]) -> Claimed:
    id_, label, database, role, root, variables, attempts, refusal, clock, nodes = row
    return Claimed(
        id=id_ or "",
        label=label,
        database=database,
        role=role or "",
        root=root or "",
        variables=orjson.loads(variables) if variables else {},
        attempts=int(attempts or 0),
        refusal=refusal,
        clock=float(clock or 0),
        nodes=orjson.loads(nodes) if nodes else [],
    )
