"""The `df._…` functions, one typed coroutine each. No other module names them."""

import re
from collections.abc import Collection, Mapping, Sequence

import orjson
from psycopg import pq

from pg_durable.errors import PgDurableError
from pg_durable.records import Claimed, Claims, Left, Permit, Place, Role, Saving, Signal
from pg_durable.wire import ConnectionLost, Wire

CHANNEL = "pg_durable"
ENDED = ("completed", "failed", "cancelled")
BUSY = "busy"
# What a call of ours meets when the schema is gone, or another than this program's: a schema,
# table, function or column that is not there, a function of another shape, a stale plan.
MISFITS = frozenset({"3F000", "42P01", "42883", "42703", "42725", "42804", "0A000"})
# What notifications begin with that name an instance: it was cancelled, or sent a signal.
CANCELLED = b"cancel "
SIGNALLED = b"signal "
# Or a role, by its OID: something of it is due now.
_DUE = re.compile(rb"start (\d{1,10})")
_LAST_OID = 2**32 - 1

# Text, int8, int4, text[] and int4[]: its parameters, of which only arrays are binary.
END_STEP = "call df._end_step($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
END_STEP_TYPES = (25, 20, 1009, 23, 25, 1007, 1009, 1009, 1009, 25, 25)
END_STEP_FORMATS = (0, 0, 1, 0, 0, 1, 1, 1, 1, 0, 0)
# The last line of the context of an error in there, in whatever language and order:
# "… df._end_step(…) line 5 at …". Line 5 is that of what the step has deferred to its commit, and
# runs triggers of the user; no other one runs anything of the user's.
_END_STEP_SIGNATURE = re.compile(r"_end_step\([^)]*\)")
_END_STEP_DEFERRED = "5"
# A setting that a step which may run twice can read; local to the transaction ($2), or not.
SET_KEY = "select pg_catalog.set_config('df.idempotency_key', $1, $2)"
TO_JSON = "select * from unnest(df._to_json($1, $2))"
TO_JSON_TYPES = (26, 1009)
TO_JSON_FORMATS = (0, 1)

# A role's own settings, those for the database last; only what every role may set.
_ROLE = """
select r.rolsuper, r.rolcanlogin, s.name, s.value
from pg_roles r
left join lateral (
  select split_part(c.item, '=', 1) as name, substr(c.item, position('=' in c.item) + 1) as value,
    d.setdatabase, c.number
  from pg_db_role_setting d
  cross join lateral unnest(d.setconfig) with ordinality c (item, number)
  left join pg_settings p on p.name = split_part(c.item, '=', 1)
  where d.setrole = r.oid
    and d.setdatabase in (0, (select b.oid from pg_database b
                              where b.datname = coalesce(nullif($2, ''), current_database())))
    and coalesce(p.context = 'user', split_part(c.item, '=', 1) like '%.%')
    and coalesce(p.name, '') not in ('role', 'session_authorization')) s on true
where r.rolname = $1
order by s.setdatabase, s.number"""
# Their conditions do not depend on rows, so the server looks at them before it calls anything.
_CLAIM = """
    select id, label, database, role, root_node, vars, attempts, refusal, clock, nodes, next_due
    from df._claim($1, $2, nullif($3, '')::pg_catalog.json, nullif($4, '')::pg_catalog.oid)
    where 'df'::pg_catalog.regnamespace = $5::pg_catalog.oid
      and (select s.migration from df._schema s) = $6
"""
_UNREGISTER = """
    select df._unregister($1)
    where 'df'::pg_catalog.regnamespace = $2::pg_catalog.oid
      and (select s.migration from df._schema s) = $3
"""


def context_of_deferred(context: str) -> str | None:
    """The context, without our lines, of an error in END_STEP if it is in what the step has
    deferred; else None."""
    lines = context.split("\n")
    last, found = _END_STEP_SIGNATURE.subn("", lines[-1])
    if not found or re.findall(r"\d+", last) != [_END_STEP_DEFERRED]:
        return None
    return "\n".join(lines[:-2])


def role_of_due(notification: bytes) -> str:
    """The OID of the role of which a notification says that something is due, or nothing."""
    found = _DUE.fullmatch(notification)
    return found[1].decode() if found is not None and int(found[1]) <= _LAST_OID else ""


class StoreError(PgDurableError):
    """The server rejected a call of ours; carries its SQLSTATE and words."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code

    @property
    def passes(self) -> bool:
        """Whether it lies in the server, which will be well again: a full disk, too few
        resources, a cancelled call."""
        return self.code.startswith(("40", "53", "55", "57", "58"))


class Store:
    """The engine's calls, on a session of the worker's own role.

    `schema` is its OID and the number of its newest migration: nothing is claimed or
    unregistered in another one that has come to its place.
    """

    def __init__(self, wire: Wire, schema: tuple[int, int]) -> None:
        self._wire = wire
        self._schema = schema

    async def register(self, name: str) -> int:
        """Enter this worker into the list of living ones. For the control session only."""
        return int((await self._row("select df._register($1)", name))[0] or 0)

    async def unregister(self, worker: int) -> None:
        """Leave, giving back what is still held."""
        await self._rows(_UNREGISTER, worker, *self._schema)

    async def heartbeat(self, worker: int) -> bool:
        """Renew the lease. False: this worker was declared dead meanwhile."""
        return (await self._row("select df._heartbeat($1)", worker))[0] == "t"

    async def take_over(self, worker: int, lease: float, *, thoroughly: bool) -> int:
        """Make due what dead workers held; returns how many instances. Unless `thoroughly`, what
        died before is not looked for."""
        row = await self._row("select df._take_over($1, $2, $3)", worker, lease, thoroughly)
        return int(row[0] or 0)

    async def settings(self, names: Sequence[str]) -> dict[str, str | None]:
        """What `pg_durable.<name>` is set to on the server, for the database or for the role."""
        rows = await self._rows(
            "select s.name, pg_catalog.current_setting('pg_durable.' || s.name, true)"
            " from pg_catalog.json_array_elements_text($1) s (name)",
            orjson.dumps(list(names)),
        )
        return {name or "": value for name, value in rows}

    async def sweep(self, limit: int) -> int:
        """Delete up to `limit` signals of instances that have ended; returns how many."""
        return int((await self._row("select df._sweep($1)", limit))[0] or 0)

    async def remove_ended(
        self, status: str, days: int, after: Place, limit: int
    ) -> tuple[int, Place | None]:
        """Remove up to `limit` instances that ended with a status so many days ago or earlier.

        Returns how many, and the place to go on after; None: there are no more.
        """
        row = await self._row(
            "select removed, reached, reached_id"
            " from df._remove_ended($1, $2, nullif($3, '')::timestamptz, $4, $5)",
            status,
            days,
            after.created_at,
            after.id,
            limit,
        )
        return int(row[0] or 0), None if row[1] is None else Place(row[1], row[2] or "")

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

    async def claim(
        self, worker: int, limit: int, without: Sequence[str] = (), role: str = ""
    ) -> Claims:
        """Claim up to `limit` due instances: of each role the same share, of some roles none; or,
        of what a role (its OID) has just started, without a look at what else is due."""
        rows = await self._rows(
            _CLAIM,
            worker,
            limit,
            orjson.dumps(list(without)) if without else "",
            role,
            *self._schema,
        )
        next_due = rows[0][-1] if rows else None
        return Claims(
            [Claimed.of(row[:-1]) for row in rows if row[0]],
            float("inf") if next_due is None else float(next_due),
        )

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

    async def submitter(self, instance: str) -> str | None:
        """The role of an instance by its present name; None when it is gone."""
        return (await self._row("select df._submitter($1)", instance))[0]

    async def role(self, role: str, database: str | None) -> Role | None:
        """What there is to know of a role before a session takes it; None when it is gone."""
        rows = await self._rows(_ROLE, role, database or "")
        if not rows:
            return None
        defaults = {name: value or "" for _, _, name, value in rows if name}
        return Role(superuser=rows[0][0] == "t", login=rows[0][1] == "t", defaults=defaults)

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
        name = self._wire.prepared.get(statement) or self._wire.prepare_anew(statement)
        self._wire.execute_prepared(name, encoded)
        results = await self._wire.sync()
        for result in results:
            if result.status not in (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK):
                raise store_error(result)
        self._wire.prepared[statement] = name
        return [
            [
                None if (value := result.get_value(row, column)) is None else value.decode()
                for column in range(result.nfields)
            ]
            for row in range(result.ntuples)
        ]


def store_error(result: pq.abc.PGresult, about: str = "") -> Exception:
    """The exception for a refused call of ours, its words after those that say what it is about."""
    code = (result.error_field(pq.DiagnosticField.SQLSTATE) or b"XX000").decode()
    message = (result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) or b"").decode(
        "utf-8", "replace"
    )
    if code.startswith(("08", "57P")):  # the server is going away
        return ConnectionLost(message)
    return StoreError(about + message, code)
