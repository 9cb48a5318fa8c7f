"""The `df` schema: installing, upgrading, and refusing one that does not fit.

Stateful DDL lives in numbered migrations, applied once each; functions are stateless and
reapplied whole at every upgrade, so each has one home.
"""

from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable

import psycopg
from psycopg import pq

from pg_durable import __version__
from pg_durable.errors import NotAllowed, SchemaMismatch, ServerUnavailable
from pg_durable.wire import ConnectionLost, Wire

OLDEST_SERVER = 140000

# The order matters where a function's text names another that must exist already.
FUNCTION_FILES = (
    "envelope.sql",
    "cron.sql",
    "dsl.sql",
    "operators.sql",
    "vars.sql",
    "claim.sql",
    "checkpoint.sql",
    "waits.sql",
    "step.sql",
    "http_checks.sql",
    "http.sql",
    "graph.sql",
    "start.sql",
    "start_new.sql",
    "control.sql",
    "signals.sql",
    "secrets.sql",
    "nodes.sql",
    "monitoring.sql",
    "progress.sql",
    "explain.sql",
    "grants.sql",
    "search_path.sql",
)

# One installation at a time, whoever runs it: key 'pgdu', 'inst'.
_LOCK = "select pg_advisory_xact_lock(1885824117, 1768846196)"
# What is called df already and belongs to somebody who is neither the installer nor a superuser.
_FOREIGN = """
    select o.what, r.rolname
    from (select 'the schema' as what, nspowner as owner from pg_namespace where nspname = 'df'
          union all
          select 'function ' || p.oid::regprocedure, p.proowner from pg_proc p
          where p.pronamespace = to_regnamespace('df')
          union all
          select 'relation ' || c.oid::regclass, c.relowner from pg_class c
          where c.relnamespace = to_regnamespace('df')) o
    join pg_roles r on r.oid = o.owner
    where r.rolname <> current_user and not r.rolsuper
    limit 1
"""
_INSTALLED = "select migration, version from df._schema"


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """What an installation did: the versions before and after (None: there was none)."""

    before: str | None
    after: str


def migrations() -> list[tuple[int, Traversable]]:
    """The numbered migrations, in order."""
    folder = resources.files("pg_durable") / "sql" / "migrations"
    files = [file for file in folder.iterdir() if file.name.endswith(".sql")]
    return sorted(((int(file.name.split("_")[0]), file) for file in files), key=lambda m: m[0])


def install(dsn: str) -> Installed:
    """Create or upgrade the schema in one transaction.

    Idempotent, and safe to run twice at once: the second waits for the first.

    Raises:
        ServerUnavailable: no connection.
        SchemaMismatch: the schema is newer than this program, or the server too old.
        NotAllowed: the role may not create it.
    """
    try:
        connection = psycopg.connect(dsn, autocommit=False, application_name="pg_durable:install")
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


def _install(connection: psycopg.Connection) -> Installed:
    connection.execute("set local search_path = pg_catalog, pg_temp")
    connection.execute("set local client_min_messages = warning")
    connection.execute(_LOCK)
    _refuse_encoding(connection.info.parameter_status("server_encoding"))
    _refuse_foreign_owner(connection)
    before = None
    done = 0
    if (row := connection.execute("select to_regclass('df._schema')").fetchone()) and row[0]:
        done, before = connection.execute(_INSTALLED).fetchone() or (0, None)
    available = migrations()
    if done > available[-1][0]:
        raise _too_new(before, done)

    for number, file in available:
        if number > done:
            _run(connection, file)
    for name in FUNCTION_FILES:
        _run(connection, resources.files("pg_durable") / "sql" / "functions" / name)
    connection.execute(
        "insert into df._schema (migration, version) values (%s, %s) on conflict (sentinel)"
        " do update set migration = excluded.migration, version = excluded.version,"
        " updated_at = now()",
        (available[-1][0], __version__),
    )
    return Installed(before=before, after=__version__)


def _refuse_encoding(encoding: str | None) -> None:
    if encoding != "UTF8":
        raise SchemaMismatch(
            f"The database's encoding is {encoding}; pg_durable needs UTF8.",
            hint="Create a database with: create database … encoding 'UTF8' template template0",
        )


def _refuse_foreign_owner(connection: psycopg.Connection) -> None:
    """What another role has made under our names would be kept, and run by the worker."""
    row = connection.execute(_FOREIGN).fetchone()
    if row is not None:
        raise NotAllowed(
            f"In the schema df, {row[0]} belongs to role {row[1]}, who could change it.",
            hint="Connect as that role to upgrade, or drop the schema df first.",
        )


def _run(connection: psycopg.Connection, file: Traversable) -> None:
    # Without parameters psycopg sends the whole file as one simple query.
    connection.execute(file.read_bytes())


async def check_version(wire: Wire) -> None:
    """Refuse a schema this program cannot work with.

    Raises:
        SchemaMismatch: absent, or newer or older than this program.
    """
    wire.execute(_INSTALLED)
    (result,) = await wire.sync()
    code = result.error_field(pq.DiagnosticField.SQLSTATE) or b""
    if code.startswith((b"08", b"57P")):
        raise ConnectionLost("the server is shutting down")
    if result.status != pq.ExecStatus.TUPLES_OK or result.ntuples != 1:
        database = (wire.pg.db or b"").decode()
        raise SchemaMismatch(
            f"Database {database} has no df schema that this role can use.",
            hint="Run: pg-durable install. If it is installed, the worker's role lacks the rights.",
        )
    _refuse_encoding((wire.pg.parameter_status(b"server_encoding") or b"").decode())
    migration = int(result.get_value(0, 0) or b"0")
    newest = migrations()[-1][0]
    if migration > newest:
        raise _too_new((result.get_value(0, 1) or b"").decode(), migration)
    if migration < newest:
        raise SchemaMismatch(
            f"The df schema is at migration {migration}; this program needs {newest}.",
            hint="Run: pg-durable install",
        )


def _too_new(version: str | None, migration: int) -> SchemaMismatch:
    return SchemaMismatch(
        f"The df schema is from pg_durable {version} (migration {migration}),"
        f" which is newer than this program, {__version__}.",
        hint="Upgrade the program: pip install --upgrade pg-durable",
    )
