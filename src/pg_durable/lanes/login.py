"""Logging in as a submitting role, or as the worker to take that role; and who is kept out."""

import asyncio

from pg_durable.errors import ServerUnavailable
from pg_durable.lanes.lane import Lane
from pg_durable.lanes.other import OtherLane
from pg_durable.lanes.session import LoginRefused
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
_MOST_LEARNT = 1000

# Whether what a server says is final, by its words without the names in them.
_learnt: dict[str, bool] = {}


async def log_in(
    settings: Settings, store: Store, role: str, database: str | None
) -> Lane | OtherLane:
    """Open a session for the steps of a role, as the setting `identity` says.

    Raises:
        LoginRefused: the role's steps will not be let run, however often it is tried.
        ServerUnavailable: no session can be had now.
    """
    limit = settings.max_result_bytes
    kind = Lane if database is None else OtherLane
    if settings.identity == "set_role":
        known = await store.role(role, database)
        if known is None:
            raise LoginRefused(f'role "{role}" does not exist')
        if known.superuser:
            raise LoginRefused(f'role "{role}" is a superuser, whom identity set_role runs not')
        if not known.login:
            raise LoginRefused(f'role "{role}" is not permitted to log in')
        return await kind.open(set_role_dsn(settings.dsn, known.defaults, database), limit, role)
    conninfo = step_dsn(settings.dsn, role, database)
    try:
        return await kind.open(conninfo, limit)
    except ServerUnavailable as error:
        if await _is_final(conninfo, error.message, (role, database or "")):
            raise LoginRefused(error.message) from error
        raise


async def _is_final(conninfo: str, message: str, names: tuple[str, ...]) -> bool:
    # A role's name could hold any of the words.
    for name in names:
        message = message.replace(f'"{name}"', "")
    if any(text in message for text in _FINAL):
        return True
    if message not in _learnt:
        sqlstate = await asyncio.to_thread(sqlstate_of_refusal, conninfo)
        if sqlstate is None:
            return False
        if len(_learnt) == _MOST_LEARNT:
            _learnt.clear()
        _learnt[message] = sqlstate.startswith(_FINAL_SQLSTATES)
    return _learnt[message]
