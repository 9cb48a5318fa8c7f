"""Whether a worker gets the sessions that steps need, tried as it would try."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

import psycopg

from pg_durable.client import queries
from pg_durable.client.failures import first_line
from pg_durable.client.session import Session
from pg_durable.errors import NotFound
from pg_durable.wire.dsn import parse_dsn, same_server, step_dsn
from pg_durable.wire.refusal import sqlstate_of_refusal

_AT_A_TIME = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Why a session was not to be had: the server's words and, if it can be known, its SQLSTATE."""

    said: str
    sqlstate: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """A role that may have workflows, and what came of a login as it; `connect`: it may connect.

    With `set_role` no login is tried; `may_set` tells whether the worker may take the role.
    """

    role: str
    unfinished: int
    connect: bool
    expired: bool
    may_set: bool
    refused: Refused | None = None

    @property
    def works(self) -> bool:
        """Whether the role's steps can run."""
        return self.connect and self.may_set and self.refused is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A line of pg_hba.conf, as the server has read it."""

    type: str
    database: Sequence[str]
    user_name: Sequence[str]
    auth_method: str
    options: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the sessions come from, and what decides about them there.

    `address` is that of the client as the server sees it, None over a socket; `host` and `port`
    are where the server is, as in a password file. `rules` are None where they may not be seen.
    """

    server: int
    worker: str
    is_worker: bool
    worker_is_superuser: bool
    database: str
    address: str | None
    ssl: bool
    certificate: bool
    host: str
    port: int
    hba_file: str | None
    ident_file: str | None
    rules: Sequence[Rule] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Logins:
    """All that was tried, and from where."""

    identity: str
    place: Place
    tried: Sequence[Tried]


async def try_logins(dsn: str, identity: str, worker: str | None = None) -> Logins | None:
    """Try to get a session for the steps of each role that may have some, as a worker with this
    connection string would. `worker` is its role, if that is not the one of the string.

    None where the session's role sees too little: it is neither the owner of df, nor a superuser,
    nor a worker.

    Raises:
        ServerUnavailable: no session at all.
        NotFound: there is no role with the name of `worker`.
    """
    async with await Session.open(dsn) as session:
        found = await session.rows(queries.PLACE, {"worker": worker})
        if not found:
            raise NotFound(f'There is no role "{worker}" to be the worker\'s.')
        (place,) = found
        if not place.pop("sees_all") and not place["is_worker"]:
            return None
        if place.pop("sees_rules"):
            rules = [Rule(**row) for row in await session.rows(queries.HBA_RULES)]
        else:
            rules = None
        sees_instances = place.pop("sees_instances")
        info = session.connection.info
        here = same_server(dsn, session.connection.pgconn)
        roles = await session.rows(
            queries.MAY_START if sees_instances else queries.MAY_START_IN_PART,
            {
                "worker": place["worker"],
                "right": "set" if place["server"] >= 160000 else "member",
                "set_role": identity == "set_role",
            },
        )
        seen = Place(
            **place,
            rules=rules,
            certificate="sslcert" in parse_dsn(dsn),
            host=info.host or "localhost",
            port=info.port,
        )
    tried = [Tried(**row) for row in roles]
    if identity == "login":
        limit = asyncio.Semaphore(_AT_A_TIME)
        tried = list(await asyncio.gather(*(_try(limit, here, role) for role in tried)))
    return Logins(identity=identity, place=seen, tried=tried)


async def _try(limit: asyncio.Semaphore, dsn: str, role: Tried) -> Tried:
    if not role.works:
        return role
    conninfo = step_dsn(dsn, role.role, None)
    async with limit:
        try:
            session = await psycopg.AsyncConnection.connect(conninfo, autocommit=True)
        except psycopg.Error as error:
            sqlstate = await asyncio.to_thread(sqlstate_of_refusal, conninfo)
            refused = Refused(said=first_line(error), sqlstate=sqlstate)
        else:
            await session.close()
            return role
    return replace(role, refused=refused)
