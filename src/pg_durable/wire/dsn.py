"""Connection strings: whose session, for what, and with which settings."""

import os
import re
from collections.abc import Mapping

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq.abc import PGconn

from pg_durable.errors import ServerUnavailable
from pg_durable.wire.reach import SERVER_NOTICING, at_server_of, reach_primary

# The worker's own sessions: no object that a user made is ever looked up by name, and no
# setting of the role or the database gets in the way.
_WORKER_OPTIONS = {
    "search_path": "pg_catalog,pg_temp",
    "timezone": "UTC",
    "default_transaction_isolation": "read committed",
    "default_transaction_read_only": "off",
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
}
# Values are shown alike everywhere, whatever the role or the database prefers.
_STEP_OPTIONS = {
    "df.in_workflow": "true",
    "timezone": "UTC",
    "datestyle": "ISO,MDY",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "client_connection_check_interval": "1s",  # a dead worker's statement ends, with its locks
}


def parse_dsn(dsn: str) -> dict[str, str]:
    """Read a libpq connection string or URI.

    Raises:
        ServerUnavailable: it is neither.
    """
    try:
        return {key: str(value) for key, value in conninfo_to_dict(dsn).items()}
    except ProgrammingError as error:
        raise ServerUnavailable(
            f"The connection string cannot be read: {_without_values(str(error).strip(), dsn)}.",
            hint="Use a URI (postgresql://user@host/database) or keywords (host=… dbname=…).",
        ) from None


def _without_values(words: str, dsn: str) -> str:
    """What libpq says of a connection string, with nothing quoted from it but names of options:
    the rest may be a password, or have one in it."""

    def shown(quoted: re.Match[str]) -> str:
        is_sign = quoted[1] is None
        is_name = not is_sign and re.fullmatch("[a-z_]+", quoted[1]) and f"{quoted[1]}=" in dsn
        return quoted[0] if is_sign or is_name else '"…"'

    return re.sub(r'"[]=:/]"|"(.*)"', shown, words, flags=re.DOTALL)


def worker_dsn(dsn: str, purpose: str, *, durable: bool = True) -> str:
    """The worker's own sessions, told apart in pg_stat_activity by their purpose.

    Without `durable`, commits do not wait for the disk, nor for a standby: for what a crash of the
    server undoes anyway, such as claims, and for leases, which are renewed also while a standby is
    gone. A step's commit takes all before it along.
    """
    options = _WORKER_OPTIONS if durable else _WORKER_OPTIONS | {"synchronous_commit": "off"}
    return _with_defaults(parse_dsn(dsn), purpose, options)


def step_dsn(dsn: str, role: str, database: str | None, *, lease: float = 0.0) -> str:
    """A session that logs in as the submitting role.

    The worker's password is not sent for another role; libpq then looks into the
    password file. For `lease` see `_within`.
    """
    parts = parse_dsn(dsn)
    if role != parts.get("user", os.environ.get("PGUSER")):
        parts["password"] = ""
    parts["user"] = role
    return _step_dsn(parts, database, {**_STEP_OPTIONS, **_within(lease)})


def set_role_dsn(
    dsn: str, defaults: Mapping[str, str], database: str | None, *, lease: float = 0.0
) -> str:
    """A session that logs in as the worker to take the submitting role, whose `defaults`
    (`alter role … set`) the server then does not apply by itself."""
    return _step_dsn(parse_dsn(dsn), database, {**defaults, **_STEP_OPTIONS, **_within(lease)})


def _within(lease: float) -> dict[str, str]:
    """Let the server end a session whose worker leaves a step's transaction open for the time of
    its lease. A worker that lives records the step at once; a frozen one never lets go of the
    step's locks, for which whoever took the instance over would wait. 0: no lease, no end.
    """
    if not lease:
        return {}
    patience = max(lease, 1.0)  # the event loop may be busy for a moment
    return {"idle_in_transaction_session_timeout": f"{patience * 1000:.0f}"}


def same_server(dsn: str, session: PGconn) -> str:
    """The connection string, but leading to the server of a session alone."""
    return make_conninfo("", **at_server_of(session, parse_dsn(dsn)))


def _step_dsn(parts: dict[str, str], database: str | None, options: Mapping[str, str]) -> str:
    if database is not None:
        parts["dbname"] = database
    return _with_defaults(parts, "workflow-sql", options)


def _with_defaults(parts: dict[str, str], purpose: str, options: Mapping[str, str]) -> str:
    given = parts.get("options") or os.environ.get("PGOPTIONS", "")
    noticing, ours = _as_options(SERVER_NOTICING), _as_options(options)
    parts["options"] = f"{noticing} {given} {ours}"  # the last one counts
    parts["application_name"] = f"pg_durable:worker:{purpose}"
    parts["client_encoding"] = "UTF8"
    return make_conninfo("", **reach_primary(parts))


def _as_options(settings: Mapping[str, str]) -> str:
    return " ".join(f"-c {name}={_escaped(value)}" for name, value in settings.items())


def _escaped(value: str) -> str:
    """A value as the server reads it among its options: white space ends it."""
    return re.sub(r"([\s\\])", r"\\\1", value)
