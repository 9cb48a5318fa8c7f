"""A session of a submitting role, and the two flushes of a step.

    flush 1   BEGIN · the user's statement
    flush 2   cleaning up · the checkpoint · COMMIT

The statement's effects and the record of them commit together or not at all. Cleaning brings
the session back to what a new login finds, but for cached plans, so the next step of any
instance of the role can use it. It comes before the commit, so as to cost no transaction of its
own; what is deferred to the commit is run before it, so nothing can dirty the session after.

Where the next step of the same chain is known, its flush 1 travels with flush 2: one round trip
a step. The server skips it when anything in flush 2 fails.
"""

import time
from collections.abc import Awaitable, Sequence

from psycopg import pq, sql
from psycopg.pq.abc import PGresult

from pg_durable.errors import LeaseLost, LimitExceeded
from pg_durable.graph.outcomes import Done, Failed
from pg_durable.graph.results import Column, encode, is_native
from pg_durable.store import (
    CHECKPOINT,
    CHECKPOINT_FORMATS,
    CHECKPOINT_TYPES,
    DEALLOCATE,
    TO_JSON,
    TO_JSON_FORMATS,
    TO_JSON_TYPES,
    Checkpoint,
)
from pg_durable.wire import ConnectionLost, Results, Wire
from pg_durable.wire.arrays import text_array

_JSON_OID = 114

# The statements of every step, prepared once a session.
_BEGIN = b"pg_durable_begin"
_BEGIN_READ_WRITE = b"pg_durable_begin_read_write"
_COMMIT = b"pg_durable_commit"
_ROLLBACK = b"pg_durable_rollback"
_CHECKPOINT = b"pg_durable_checkpoint"
# The deferred triggers and constraints of the user's statement.
_DEFERRED = b"pg_durable_deferred"
# Of sessions that take a role for each statement: back to the one that logged in.
_OWN_ROLE = b"pg_durable_own_role"
# After those, what DISCARD ALL does, less the plans: those make the next step fast. The first of
# these also makes sure that the checkpoint is called by the role that logged in.
_CLEANING = {
    _DEFERRED: "set constraints all immediate",
    b"pg_durable_clean_0": "reset session authorization",
    b"pg_durable_clean_1": "reset all",
    b"pg_durable_clean_2": "unlisten *",
    b"pg_durable_clean_3": "close all",
    b"pg_durable_clean_4": "discard temp",
    b"pg_durable_clean_5": "discard sequences",
    b"pg_durable_clean_6": "select pg_catalog.pg_advisory_unlock_all()",
    b"pg_durable_clean_7": DEALLOCATE,
}
_STATEMENTS = {
    _BEGIN: "begin",
    _BEGIN_READ_WRITE: "begin read write",
    _COMMIT: "commit",
    _ROLLBACK: "rollback",
    _CHECKPOINT: CHECKPOINT,
    _OWN_ROLE: "set role none",
    **_CLEANING,
}

# A statement under way, with its BEGIN.
Started = Awaitable[Results]

_OK = frozenset({pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK, pq.ExecStatus.EMPTY_QUERY})


class Rejected(Exception):
    """The server refused something `of_the_user`, or something that we do around it."""

    def __init__(self, failure: Failed, sqlstate: str, *, of_the_user: bool) -> None:
        super().__init__(failure.message)
        self.failure = failure
        self.sqlstate = sqlstate
        self.of_the_user = of_the_user


class LoginRefused(Exception):
    """The session may not have the role that it needs, so the role's step fails."""


class Lane:
    """One session. Used by one step at a time.

    `take_role` is the statement that takes the role of the steps, where that is not the one
    that logged in. It is sent with each step, so that it is the name's present bearer who counts.
    """

    def __init__(self, wire: Wire, max_result_bytes: int, take_role: str | None = None) -> None:
        self._wire = wire
        self._max_result_bytes = max_result_bytes
        self._take_role = take_role
        self._cleaning = list(_CLEANING)
        if take_role is not None:  # right after the session authorization, which may bring a role
            self._cleaning.insert(2, _OWN_ROLE)
        self.prepared = True
        self._rows: list[list[bytes | None]] = []
        self._bytes = 0
        wire.on_rows = self._take
        self.opened_at = time.monotonic()
        self.idle_since = self.opened_at
        self.reusable = True
        # Otherwise a change of a node's row during its step would make the checkpoint fail.
        self.sees_commits = True

    @classmethod
    async def open(cls, conninfo: str, max_result_bytes: int, role: str | None = None) -> "Lane":
        """Log in and prepare what every step uses; with `role`, steps take that role.

        Raises:
            ServerUnavailable: the server cannot be reached or refused the login.
            ConnectionLost: it went away at once.
        """
        wire = await Wire.connect(conninfo)
        wire.execute("show role")
        wire.execute(_STATEMENTS[_OWN_ROLE])  # the role of `alter role … set role` need not use df
        for name, statement in _STATEMENTS.items():
            wire.prepare(name, statement, CHECKPOINT_TYPES if name == _CHECKPOINT else ())
        wire.execute("show default_transaction_isolation")
        try:
            results = await wire.sync()
            for result in results:
                if result.status not in _OK:
                    raise rejection(result)
        except BaseException:
            wire.close()
            raise
        take_role = None
        if role is not None:
            take_role = "set role " + sql.Identifier(role).as_string()
        elif results[0].get_value(0, 0) != b"none":
            take_role = "reset role"
        lane = cls(wire, max_result_bytes, take_role)
        lane.sees_commits = results[-1].get_value(0, 0) == b"read committed"
        return lane

    @property
    def usable(self) -> bool:
        """Whether another step may use this session."""
        return self.reusable and self._wire.lost is None

    def close(self) -> None:
        """Close the session; the server rolls back what it was doing."""
        self._wire.close()

    def begin(self, statement: str) -> Started:
        """Begin a transaction and start the statement in it; `result` awaits its end."""
        self._queue(_BEGIN)
        if self._take_role is not None:
            self._wire.execute(self._take_role)
        self._wire.execute(statement)
        return self._wire.sync(chunked=1 if self._take_role is None else 2)

    async def result(self, started: Started) -> Done:
        """The result of a started statement; its transaction is still open.

        Raises:
            Rejected: the statement failed; the transaction is to be rolled back.
            LimitExceeded: the result is too large; likewise.
            LoginRefused: the session may not take the role of the step.
            ConnectionLost, StepRefused: the session is gone.
        """
        begin, *taken, result = await started
        if begin.status not in _OK:
            raise ConnectionLost(_field(begin, pq.DiagnosticField.MESSAGE_PRIMARY) or "")
        self._check_role(taken)
        return await self._result_of(result)

    def _check_role(self, taken: Results) -> None:
        for result in taken:
            if result.status not in _OK:
                error = rejection(result)
                if isinstance(error, Rejected):
                    raise LoginRefused(
                        _field(result, pq.DiagnosticField.MESSAGE_PRIMARY)
                    ) from error
                raise error

    def _take(self, chunk: PGresult) -> None:
        columns = range(chunk.nfields)
        for row in range(chunk.ntuples):
            values = [chunk.get_value(row, column) for column in columns]
            self._rows.append(values)
            self._bytes += sum([len(value) for value in values if value is not None])
        if self._bytes > self._max_result_bytes:
            raise self._too_large(self._bytes)

    def _too_large(self, size: int) -> LimitExceeded:
        return LimitExceeded(
            f"The result has {size} bytes or more; the limit is {self._max_result_bytes}.",
            hint="Return fewer rows, keep them in a table, or raise max_result_bytes.",
        )

    async def execute_alone(self, statement: str) -> Done:
        """Run a statement that PostgreSQL refuses inside a transaction block; it commits itself."""
        self._queue(_ROLLBACK)
        if self._take_role is not None:
            self._wire.execute(self._take_role)
        _, *taken = await self._wire.sync()
        self._check_role(taken)
        self.forget_prepared()
        self._wire.execute(statement)
        (result,) = await self._wire.sync()
        return await self._result_of(result)

    def forget_prepared(self) -> None:
        """Reckon with a statement that deallocates the session's prepared ones, as DISCARD ALL
        does: send every text anew, and use the session for this step only."""
        self.prepared = False
        self.reusable = False

    async def rollback(self) -> None:
        """Undo the open transaction."""
        self._queue(_ROLLBACK)
        await self._wire.sync()

    async def commit(self, checkpoint: Checkpoint, following: str | None = None) -> Started | None:
        """Record the step in its statement's transaction, and commit both. Starts the
        `following` statement in a new transaction with it, if there is one.

        Raises:
            LeaseLost: the node is not this worker's any more; nothing was committed.
            Rejected: a deferred constraint failed, or the checkpoint did for a reason of
                the session's; nothing was committed, nothing was started.
            ConnectionLost: unknown whether it was committed; the rows tell.
        """
        return await self._finish([], checkpoint, following)

    async def commit_apart(self, checkpoint: Checkpoint) -> None:
        """Record a step whose statement committed itself, or failed, or never ran."""
        await self._finish([_ROLLBACK, _BEGIN_READ_WRITE], checkpoint, None)

    async def _finish(
        self, before: Sequence[bytes], checkpoint: Checkpoint, following: str | None
    ) -> Started | None:
        cleaning = [*before, *self._cleaning]
        for name in cleaning:
            self._queue(name)
        self._queue(_CHECKPOINT, checkpoint.params(), CHECKPOINT_TYPES, CHECKPOINT_FORMATS)
        self._queue(_COMMIT)
        started = None
        if following is None:
            results = await self._wire.sync()
        else:
            recorded = self._wire.part()
            started = self.begin(following)
            results = await recorded

        for name, result in zip((*cleaning, _CHECKPOINT, _COMMIT), results, strict=True):
            if result.status not in _OK:
                self.reusable = False
                if started is not None:
                    await started  # called off; to be read before anything else is sent
                raise rejection(result, of_the_user=name in (_DEFERRED, _COMMIT))
        if results[-1].command_status != b"COMMIT":
            raise ConnectionLost("the COMMIT of a step was answered with something else")
        return started

    def _queue(
        self,
        name: bytes,
        params: Sequence[bytes | None] = (),
        types: Sequence[int] | None = None,
        formats: Sequence[int] | None = None,
    ) -> None:
        if self.prepared:
            self._wire.execute_prepared(name, params, formats)
        else:
            self._wire.execute(_STATEMENTS[name], params, types, formats)

    async def _result_of(self, result: PGresult) -> Done:
        if result.status not in _OK:
            self._rows, self._bytes = [], 0
            raise rejection(result)
        width = result.nfields
        self._take(result)  # what came as a whole, not in chunks
        rows, self._rows, self._bytes = self._rows, [], 0
        columns = []
        for number in range(width):
            oid = result.ftype(number)
            if not is_native(oid):
                await self._convert(oid, rows, number)
                oid = _JSON_OID
            name = (result.fname(number) or b"").decode("utf-8", "replace")
            columns.append(Column(name=name, type_oid=oid))
        text = encode(columns, rows, rows_affected=None if width else result.command_tuples)
        if len(text) > self._max_result_bytes:
            raise self._too_large(len(text))
        return Done(text, () if rows else tuple([column.name for column in columns]))

    async def _convert(self, oid: int, rows: list[list[bytes | None]], column: int) -> None:
        # Arrays, composites and the like: only the server knows their JSON form.
        values = [row[column] for row in rows]
        if not values:
            return
        texts = [None if v is None else v.decode("utf-8", "replace") for v in values]
        self._wire.execute(
            TO_JSON, [b"%d" % oid, text_array(texts)], TO_JSON_TYPES, TO_JSON_FORMATS
        )
        (converted,) = await self._wire.sync()
        if converted.status not in _OK:
            raise rejection(converted)
        for number, row in enumerate(rows):
            row[column] = converted.get_value(number, 0) if row[column] is not None else None


_DETAILS = {
    "detail": pq.DiagnosticField.MESSAGE_DETAIL,
    "hint": pq.DiagnosticField.MESSAGE_HINT,
    "position": pq.DiagnosticField.STATEMENT_POSITION,
    "context": pq.DiagnosticField.CONTEXT,
    "constraint": pq.DiagnosticField.CONSTRAINT_NAME,
}


def rejection(result: PGresult, *, of_the_user: bool = True) -> Exception:
    """The exception for an error the server reported."""
    sqlstate = _field(result, pq.DiagnosticField.SQLSTATE) or "XX000"
    message = _field(result, pq.DiagnosticField.MESSAGE_PRIMARY) or "unknown error"
    if sqlstate == LeaseLost.sqlstate and not of_the_user:
        return LeaseLost(message)
    severity = result.error_field(pq.DiagnosticField.SEVERITY_NONLOCALIZED)
    if severity in (b"FATAL", b"PANIC"):  # the session or the server is being shut down
        return ConnectionLost(message)
    details = {"sqlstate": sqlstate}
    details |= {key: text for key, which in _DETAILS.items() if (text := _field(result, which))}
    failure = Failed(f"SQL execution failed: error returned from database: {message}", details)
    return Rejected(failure, sqlstate, of_the_user=of_the_user)


def _field(result: PGresult, which: pq.DiagnosticField) -> str | None:
    value = result.error_field(which)
    return None if value is None else value.decode("utf-8", "replace")
