"""PostgreSQL's errors as ours: one sentence each that says what is wrong, and what to do."""

import psycopg
from psycopg import errors, pq

from pg_durable.errors import (
    InvalidWorkflow,
    NotAllowed,
    PgDurableError,
    SchemaMismatch,
    ServerUnavailable,
)

_OLD_SCHEMA = (errors.UndefinedTable, errors.UndefinedColumn, errors.UndefinedFunction)


def unavailable(answer: pq.Ping, error: psycopg.Error) -> ServerUnavailable:
    """Why no session could be opened.

    libpq's words are in the user's language; `answer`, the server's answer to a ping, tells
    a server that is not there from one that does not let us in.
    """
    said = first_line(error)
    match answer:
        case pq.Ping.OK:
            return ServerUnavailable(
                f"The server refused the login: {said}.",
                hint="Check the database, user and password given (--dsn, PG_DURABLE_DSN,"
                " PGDATABASE, PGUSER, ~/.pgpass), and the server's pg_hba.conf.",
            )
        case pq.Ping.REJECT:
            return ServerUnavailable(
                f"The server accepts no connections now: {said}.", hint="Try again in a moment."
            )
        case pq.Ping.NO_ATTEMPT:
            return ServerUnavailable(
                f"The connection string cannot be used: {said}.",
                hint="Use a URI (postgresql://user@host/database) or keywords (host=… dbname=…).",
            )
        case _:
            return ServerUnavailable(
                f"No PostgreSQL server answers: {said}.",
                hint="Start one (pg-durable up), or say where yours is"
                " (--dsn, PG_DURABLE_DSN or PGHOST).",
            )


def connection_lost(error: psycopg.Error) -> ServerUnavailable:
    """The session ended in the middle of something."""
    return ServerUnavailable(
        f"The connection to the server was lost: {first_line(error)}.",
        hint="What was started goes on; try again.",
    )


def translate(error: psycopg.Error, role: str, *, of_user: bool) -> PgDurableError:
    """What the server rejected; `of_user`: the statement held the user's own text."""
    message = error.diag.message_primary or first_line(error)
    advice = [text for text in (error.diag.message_detail, error.diag.message_hint) if text]
    hint = " ".join(advice) or None
    for kind in PgDurableError.__subclasses__():
        if kind.sqlstate == error.sqlstate:
            return kind(message, hint=hint)
    if isinstance(error, errors.InsufficientPrivilege):
        return not_allowed(f"{message[:1].upper()}{message[1:]}.", role)
    if isinstance(error, errors.ReadOnlySqlTransaction):
        return ServerUnavailable(
            f"This session may change nothing: {message}. Its server is a standby, or its"
            " transactions are read-only by default.",
            hint="Name the primary, or all of the servers: host=one,other. Then it is looked for.",
        )
    if of_user:
        return InvalidWorkflow(f"The workflow cannot be evaluated: {message}.", hint=hint)
    if isinstance(error, _OLD_SCHEMA):
        return SchemaMismatch(
            f"The df schema does not fit this program: {message}.",
            hint="Upgrade it, with the same connection: pg-durable install",
        )
    return PgDurableError(f"PostgreSQL says: {message} (SQLSTATE {error.sqlstate}).", hint=hint)


def not_allowed(message: str, role: str) -> NotAllowed:
    """A privilege that df.grant_usage gives."""
    quoted = "'" + role.replace("'", "''") + "'"
    http = ", include_http => true" if "http" in message else ""
    return NotAllowed(
        message, hint=f"Let the schema's owner run: select df.grant_usage({quoted}{http});"
    )


def first_line(error: psycopg.Error) -> str:
    """What libpq says; its other lines repeat that for each address, or ask questions."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    said = lines[0].removeprefix("connection failed: ").removeprefix("connection is bad: ")
    return said.rstrip(". ")
