"""Logging in as a submitting role, or as the worker to take that role; and who is kept out."""

import asyncio

from pg_durable.errors import ServerUnavailable
from pg_durable.lanes.lane import Lane
from pg_durable.lanes.other import OtherLane
from pg_durable.lanes.session import LoginRefused, NoSessionLeft
from pg_durable.settings import Settings
from pg_durable.store import Store
from pg_durable.wire.dsn import set_role_dsn, step_dsn
from pg_durable.wire.refusal import sqlstate_of_refusal

# What a server says that will not let a role in however often it is asked.
_FINAL = (
    "authentication failed",
    "no pg_hba.conf entry",
    "does not exist",
    "is not permitted to log in",
    "no password supplied",
    "permission denied for database",
    "is not currently accepting connections",
)
# The same for a server that says it in another language: the login, the right to connect, and
# the database are wrong. In particular not 53300, too many connections.
_FINAL_SQLSTATES = ("28", "42501", "3D000", "55000")
# What it says when it has no session left for anybody; and in PgBouncer's words.
_FULL = (
    "too many clients",
    "connection slots are reserved",
    "could not fork new process",
    "no more connections allowed",
)
# For this role alone, or for this database.
_FULL_OF_ROLE = "too many connections for role"
_FULL_OF_DATABASE = "too many connections for database"
_FULL_SQLSTATE = "53300"
_MOST_LEARNT = 1000

# The SQLSTATE of what a server says, by its words without the names in them.
_learnt: dict[str, str] = {}


async def log_in(
    settings: Settings, store: Store, role: str, database: str | None
) -> Lane | OtherLane:
    """Open a session for the steps of a role, as the setting `identity` says.

    Raises:
        LoginRefused: the role's steps will not be let run, however often it is tried.
        NoSessionLeft: the server has too many sessions now.
        ServerUnavailable: no session can be had now.
    """
    limit = settings.max_result_bytes
    kind = Lane if database is None else OtherLane
    take_role = None
    lease = settings.lease
    conninfo = step_dsn(settings.dsn, role, database, lease=lease)
    if settings.identity == "set_role":
        known = await store.role(role, database)
        if known is None:
            raise LoginRefused(f'role "{role}" does not exist')
        if known.superuser:
            raise LoginRefused(f'role "{role}" is a superuser, whom identity set_role runs not')
        if not known.login:
            raise LoginRefused(f'role "{role}" is not permitted to log in')
        conninfo = set_role_dsn(settings.dsn, known.defaults, database, lease=lease)
        take_role = role
    try:
        return await kind.open(conninfo, limit, take_role)
    except ServerUnavailable as error:
        meant = await _what_it_means(error, conninfo, role, database or "", take_role)
        if meant is error:
            raise  # from itself, it would have itself for a cause
        raise meant from error


async def _what_it_means(
    error: ServerUnavailable, conninfo: str, role: str, database: str, take_role: str | None
) -> Exception:
    # A role's name could hold any of the words.
    message = error.message.replace(f'"{role}"', "").replace(f'"{database}"', "")
    if any(text in message for text in _FULL):
        return NoSessionLeft(error.message, of_role=False)
    if _FULL_OF_ROLE in message:
        return NoSessionLeft(error.message, of_role=take_role is None)
    if _FULL_OF_DATABASE in message:  # roles with no steps in another one must not suffer from it
        return NoSessionLeft(error.message, of_role=database != "")
    if take_role is not None:
        return error  # the worker itself is kept out: others may be let in where it is not
    if any(text in message for text in _FINAL):
        return LoginRefused(error.message)
    sqlstate = await _sqlstate(conninfo, message)
    if sqlstate == _FULL_SQLSTATE:  # in another language; each role finds out for itself
        return NoSessionLeft(error.message, of_role=True)
    return LoginRefused(error.message) if sqlstate.startswith(_FINAL_SQLSTATES) else error


async def _sqlstate(conninfo: str, message: str) -> str:
    """With which a login was refused, found by another try; or nothing."""
    if message not in _learnt:
        sqlstate = await asyncio.to_thread(sqlstate_of_refusal, conninfo)
        if sqlstate is None:
            return ""
        if len(_learnt) == _MOST_LEARNT:
            _learnt.clear()
        _learnt[message] = sqlstate
    return _learnt[message]
