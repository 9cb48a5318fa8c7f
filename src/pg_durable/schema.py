"""The `df` schema: installing, upgrading, and refusing one that does not fit.

Where df belongs to the extension, the server's own files are used, by `alter extension`.
"""

from dataclasses import dataclass

import psycopg
from psycopg import pq
from psycopg.conninfo import make_conninfo

from pg_durable import __version__, scripts
from pg_durable.errors import (
    NotAllowed,
    PgDurableError,
    SchemaMismatch,
    SchemaNotReady,
    ServerUnavailable,
)
from pg_durable.wire import ConnectionLost, Wire
from pg_durable.wire.dsn import parse_dsn
from pg_durable.wire.reach import reach_primary

OLDEST_SERVER = 140000

_INSTALLED = "select migration, version from df._schema"
_EXTENSION = "select extversion from pg_extension where extname = 'pg_durable'"
_UPDATE_PATH = """
    select path
    from pg_extension_update_paths('pg_durable')
    where source = %s and target = %s and path is not null
"""
# Asked first: a worker that waits for a schema shall not fill the server's log with errors.
_THERE = "select to_regclass('df._schema')"
_PRESENT = "select migration, version, 'df'::regnamespace::oid from df._schema"


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """What an installation did: the versions before and after (None: there was none)."""

    before: str | None
    after: str


def install(dsn: str) -> Installed:
    """Create or upgrade the schema in one transaction.

    Idempotent, and safe to run twice at once: the second waits for the first.

    Raises:
        ServerUnavailable: no connection.
        SchemaMismatch: the schema is newer than this program, or the server too old.
        NotAllowed: the role may not create it.
    """
    try:
        conninfo = make_conninfo("", **reach_primary(parse_dsn(dsn)))
        connection = psycopg.connect(
            conninfo, autocommit=False, application_name="pg_durable:install"
        )
    except psycopg.OperationalError as error:
        raise ServerUnavailable(" ".join(str(error).split())) from error
    with connection:
        if connection.info.server_version < OLDEST_SERVER:
            raise SchemaMismatch(
                f"This server is PostgreSQL {connection.info.server_version // 10000};"
                " pg_durable needs 14 or newer."
            )
        try:
            return _install(connection)
        except psycopg.errors.InsufficientPrivilege as error:
            raise NotAllowed(
                f"Role {connection.info.user} may not install the schema: {error}.",
                hint="Connect as the database's owner or a superuser.",
            ) from error
        except psycopg.Error as error:
            ours = _raised_by_checks(error)
            if ours is None:
                raise
            raise ours from error


def _install(connection: psycopg.Connection) -> Installed:
    connection.execute("set local search_path = pg_catalog, pg_temp")
    connection.execute("set local client_min_messages = warning")
    _run(connection, scripts.checks())
    before = None
    done = 0
    if (row := connection.execute("select to_regclass('df._schema')").fetchone()) and row[0]:
        done, before = connection.execute(_INSTALLED).fetchone() or (0, None)
    available = scripts.migrations()
    newest = available[-1][0]
    if done > newest:
        raise _too_new(before, done)

    extension = connection.execute(_EXTENSION).fetchone()
    if extension is None:
        for number, text in available:
            if number > done:
                _run(connection, text)
        for text in scripts.functions():
            _run(connection, text)
        _run(connection, scripts.record(__version__, newest))
    elif extension[0] != __version__ or done < newest:
        _update_extension(connection, extension[0])
    _run(connection, "set constraints all immediate")
    return Installed(before=before, after=__version__)


def _update_extension(connection: psycopg.Connection, version: str) -> None:
    """Bring the extension to this program's version, with the files that are on the server."""
    if connection.execute(_UPDATE_PATH, (version, __version__)).fetchone() is None:
        raise SchemaMismatch(
            f"Database {connection.info.dbname} has df from the extension pg_durable {version},"
            f" and this server has no files to bring it to {__version__}.",
            hint="Run on the server's machine: pg-durable extension install; then this again.",
        )
    _run(connection, f"alter extension pg_durable update to '{__version__}'")


def _refuse_encoding(encoding: str | None) -> None:
    if encoding != "UTF8":
        raise SchemaMismatch(
            f"The database's encoding is {encoding}; pg_durable needs UTF8.",
            hint="Create a database with: create database … encoding 'UTF8' template template0",
        )


def _raised_by_checks(error: psycopg.Error) -> PgDurableError | None:
    """Our own class for what `checks.sql` has raised."""
    for ours in (SchemaMismatch, NotAllowed):
        if error.sqlstate == ours.sqlstate:
            return ours(error.diag.message_primary or "", hint=error.diag.message_hint)
    return None


def _run(connection: psycopg.Connection, text: str) -> None:
    # Without parameters psycopg sends the whole text as one simple query.
    connection.execute(text.encode())


async def check_version(wire: Wire) -> tuple[int, int]:
    """Refuse a schema this program cannot work with. Of one that it can, return what tells it
    from others: its OID and the number of its newest migration.

    Raises:
        SchemaNotReady: absent, or older than this program.
        SchemaMismatch: newer, or in a database with another encoding.
        ConnectionLost: the server is going away.
    """
    for statement in (_THERE, _PRESENT):
        wire.execute(statement)
        (result,) = await wire.sync()
        code = result.error_field(pq.DiagnosticField.SQLSTATE) or b""
        if code.startswith((b"08", b"57P")):
            raise ConnectionLost("the server is shutting down")
        if result.ntuples != 1 or result.get_value(0, 0) is None:
            raise SchemaNotReady(
                f"Database {wire.database} has no df schema that this role can use.",
                hint="Run: pg-durable install. If it is installed, the worker's role lacks the"
                " rights.",
            )
    _refuse_encoding(wire.encoding)
    migration = int(result.get_value(0, 0) or b"0")
    newest = scripts.migrations()[-1][0]
    if migration > newest:
        raise _too_new((result.get_value(0, 1) or b"").decode(), migration)
    if migration < newest:
        raise SchemaNotReady(
            f"The df schema is at migration {migration}; this program needs {newest}.",
            hint="Run: pg-durable install",
        )
    return int(result.get_value(0, 2) or b"0"), migration


def _too_new(version: str | None, migration: int) -> SchemaMismatch:
    return SchemaMismatch(
        f"The df schema is from pg_durable {version} (migration {migration}),"
        f" which is newer than this program, {__version__}.",
        hint="Upgrade the program: pip install --upgrade pg-durable",
    )
