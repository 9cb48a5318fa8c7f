"""A session in which steps run: what the server answers becomes a result or an error of ours."""

import time
from collections.abc import Awaitable
from typing import NamedTuple

from psycopg import pq, sql
from psycopg.pq.abc import PGresult

from pg_durable.errors import LeaseLost, LimitExceeded, ServerUnavailable
from pg_durable.graph.outcomes import Done, Failed
from pg_durable.graph.results import Column, encode, is_native
from pg_durable.store import MISFITS, SET_KEY, store_error
from pg_durable.wire import ConnectionLost, Results, Wire

_JSON_OID = 114

OK = frozenset({pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK, pq.ExecStatus.EMPTY_QUERY})


class Statement(NamedTuple):
    """A step's statement, and the idempotency key by which it can tell a second run."""

    text: str
    key: str


class Started(NamedTuple):
    """A statement under way, after some of ours: BEGIN, unless it is `chained` to a commit, and the
    like. What prepares it is none of these, for an error of that is the statement's own."""

    answers: Awaitable[Results]
    before: int  # statements of ours
    chained: bool = False


class Rejected(Exception):
    """The server refused something `of_the_user`, or something that we do around it."""

    def __init__(self, failure: Failed, sqlstate: str, *, of_the_user: bool) -> None:
        super().__init__(failure.message)
        self.failure = failure
        self.sqlstate = sqlstate
        self.of_the_user = of_the_user


class LoginRefused(Exception):
    """The session may not have the role that it needs, so the role's step fails."""


class NoSessionLeft(ServerUnavailable):
    """The server has too many sessions now, be it of all, or only of the role."""

    def __init__(self, message: str, *, of_role: bool) -> None:
        super().__init__(message)
        self.of_role = of_role


class StepSession:
    """One session of a submitting role. Used by one step at a time.

    `take_role` is the statement that takes the role of the steps, where that is not the one
    that logged in. It is sent with each step, so that it is the name's present bearer who counts.
    """

    def __init__(self, wire: Wire, max_result_bytes: int, take_role: str | None = None) -> None:
        self._wire = wire
        self._max_result_bytes = max_result_bytes
        self._taking_role = take_role
        self._rows: list[list[bytes | None]] = []
        self._bytes = 0
        wire.on_rows = self._take
        self.opened_at = time.monotonic()
        self.idle_since = self.opened_at
        self.stays_until = self.opened_at  # with its role, whoever else waits
        self.reusable = True

    @property
    def usable(self) -> bool:
        """Whether another step may use this session."""
        return self.reusable and self._wire.lost is None

    def close(self) -> None:
        """Close the session; the server rolls back what it was doing."""
        self._wire.close()

    def _take_role(self) -> int:
        """Queue what takes the role of the step; returns how many statements that is."""
        if self._taking_role is None:
            return 0
        self._wire.execute(self._taking_role)
        return 1

    def _check_role(self, results: Results) -> None:
        for result in results:
            if result.status not in OK:
                error = rejection(result)
                if isinstance(error, Rejected):
                    message = error_field(result, pq.DiagnosticField.MESSAGE_PRIMARY)
                    raise LoginRefused(message) from error
                raise error

    def _executed(self, started: Started, results: Results) -> PGresult:
        """What a statement returned, or the error of its preparation.

        Raises:
            ConnectionLost: no transaction could be begun.
            LoginRefused: the session may not take the role of the step.
        """
        if results[-1].status in OK:  # then so is all before it
            return results[-1]
        before = results[: started.before]
        if not started.chained and before[0].status not in OK:
            raise ConnectionLost(error_field(before[0], pq.DiagnosticField.MESSAGE_PRIMARY) or "")
        self._check_role(before)
        return next(result for result in results[started.before :] if result.status not in OK)

    def _set_key(self, key: str, *, local: bool) -> None:
        self._wire.execute(SET_KEY, [key.encode(), b"true" if local else b"false"])

    def _take(self, chunk: PGresult) -> None:
        columns = range(chunk.nfields)
        for row in range(chunk.ntuples):
            values = [chunk.get_value(row, column) for column in columns]
            self._rows.append(values)
            self._bytes += sum([len(value) for value in values if value is not None])
        if self._bytes > self._max_result_bytes:
            raise self._too_large(self._bytes)

    def _forget_rows(self) -> None:
        self._rows, self._bytes = [], 0

    def _too_large(self, size: int) -> LimitExceeded:
        return LimitExceeded(
            f"The result has {size} bytes or more; the limit is {self._max_result_bytes}.",
            hint="Return fewer rows, keep them in a table, or raise max_result_bytes.",
        )

    async def _result_of(self, result: PGresult) -> Done:
        """Raises Rejected if the statement failed, LimitExceeded if its result is too large."""
        if result.status not in OK:
            self._forget_rows()
            raise rejection(result)
        width = result.nfields
        if result.ntuples:
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
        converted = await self._to_json(oid, texts)
        for row, value in zip(rows, converted, strict=True):
            row[column] = value if row[column] is not None else None

    async def _to_json(self, oid: int, texts: list[str | None]) -> list[bytes | None]:
        """The values of a type, given in their text form, as JSON texts."""
        raise NotImplementedError


_DETAILS = {
    "detail": pq.DiagnosticField.MESSAGE_DETAIL,
    "hint": pq.DiagnosticField.MESSAGE_HINT,
    "position": pq.DiagnosticField.STATEMENT_POSITION,
    "context": pq.DiagnosticField.CONTEXT,
    "constraint": pq.DiagnosticField.CONSTRAINT_NAME,
}


def rejection(
    result: PGresult, *, of_the_user: bool = True, context: str | None = None
) -> Exception:
    """The exception for an error the server reported; with another `context` than it gave."""
    sqlstate = error_field(result, pq.DiagnosticField.SQLSTATE) or "XX000"
    message = error_field(result, pq.DiagnosticField.MESSAGE_PRIMARY) or "unknown error"
    if sqlstate == LeaseLost.sqlstate and not of_the_user:
        return LeaseLost(message)
    severity = result.error_field(pq.DiagnosticField.SEVERITY_NONLOCALIZED)
    if severity in (b"FATAL", b"PANIC"):  # the session or the server is being shut down
        return ConnectionLost(message)
    details = {"sqlstate": sqlstate}
    details |= {
        key: text for key, which in _DETAILS.items() if (text := error_field(result, which))
    }
    if context:
        details["context"] = context
    elif context is not None:
        del details["context"]
    failure = Failed(f"SQL execution failed: error returned from database: {message}", details)
    return Rejected(failure, sqlstate, of_the_user=of_the_user)


def check_opened(results: Results) -> None:
    """Raise StoreError or ConnectionLost where the server refused what opens a session."""
    for result in results:
        if result.status not in OK:
            raise store_error(result, "No session for a step: ")


def role_to_take(role: str | None, shown: PGresult) -> str | None:
    """The statement that takes a role for steps, or the one that `show role` has shown after the
    login; None: the role that logged in is the one."""
    if role is not None:
        return "set role " + sql.Identifier(role).as_string()
    return None if shown.get_value(0, 0) == b"none" else "reset role"


def is_misfit(result: PGresult) -> bool:
    """Whether the server knows nothing of what we have called: the schema is gone, or another."""
    return error_field(result, pq.DiagnosticField.SQLSTATE) in MISFITS


def error_field(result: PGresult, which: pq.DiagnosticField) -> str | None:
    """A field of an error that the server reported."""
    value = result.error_field(which)
    return None if value is None else value.decode("utf-8", "replace")
