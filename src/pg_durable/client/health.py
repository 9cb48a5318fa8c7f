"""What can be seen of a database's workflows and workers as a whole, for `pg-durable doctor`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from psycopg import IsolationLevel

from pg_durable import __version__
from pg_durable.client import queries
from pg_durable.client.session import Session
from pg_durable.errors import NotAllowed, PgDurableError, SchemaMismatch
from pg_durable.scripts import migrations


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Where we are, and as whom; `number` is 180006 for PostgreSQL 18.6."""

    version: str
    number: int
    database: str
    encoding: str
    role: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenWorker:
    """A worker that is registered; `connected` while the session holds that proves it alive.

    `silent_for` is the age of its heartbeat, None where the role may not see it.
    """

    worker: int
    name: str | None
    silent_for: timedelta | None
    connected: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """How many instances a worker holds; without a worker: how many are due, and since when."""

    worker: int | None
    number: int
    longest: timedelta | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenBack:
    """An instance that was given back `attempts` times in a row, because of an outage."""

    id: str
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenRole:
    """A role with unfinished instances whose steps run in a database, and why they cannot.

    `trouble` is None, or: the role is `gone`, or the `database`; the role lacks LOGIN (`login`),
    CONNECT (`connect`) or the USAGE of df (`usage`); or it is a `superuser` while such may have
    no instances.
    """

    role: str
    database: str
    number: int
    trouble: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """What goes on. A role that does not see all (`sees_all`) sees of its own instances."""

    version: str
    sees_all: bool
    workers: Sequence[SeenWorker]
    statuses: Mapping[str, int]
    held: Sequence[Held]
    stuck: Sequence[str]
    given_back: Sequence[GivenBack]
    roles: Sequence[SeenRole]
    loopback: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """All of it; `engine` is the reason where it cannot be looked at, and None for a worker's
    role, which sees no instances."""

    server: Server
    engine: Engine | PgDurableError | None


async def examine(dsn: str) -> Health:
    """Look at everything, in one read-only transaction, so that it fits together.

    Raises:
        ServerUnavailable: no server, or it refused the login.
    """
    async with await Session.open(dsn) as session:
        await session.connection.set_read_only(True)
        await session.connection.set_isolation_level(IsolationLevel.REPEATABLE_READ)
        (server,) = await session.rows(queries.SERVER)
        engine: Engine | PgDurableError | None
        try:
            await session.check_schema()
            async with session.translated(), session.connection.transaction():
                engine = await _engine(session)
        except (SchemaMismatch, NotAllowed) as error:
            engine = error
        return Health(server=Server(**server), engine=engine)


async def _engine(session: Session) -> Engine | None:
    (seen,) = await session.rows(queries.VERSION)
    if seen["sees_schema"]:
        (row,) = await session.rows(queries.MIGRATION)
        _refuse_misfit(seen["version"], row["migration"])
    if seen["sees_schema"] and not seen["sees_instances"]:
        return None

    async def rows(kind: type[Any], query: Any) -> list[Any]:
        return [kind(**row) for row in await session.rows(query)]

    return Engine(
        version=seen["version"],
        sees_all=seen["sees_all"],
        workers=await rows(
            SeenWorker, queries.WORKERS if seen["sees_workers"] else queries.WORKERS_IN_PART
        ),
        statuses={row["status"]: row["number"] for row in await session.rows(queries.STATUSES)},
        held=await rows(Held, queries.DUE),
        stuck=[row["id"] for row in await session.rows(queries.STUCK)],
        given_back=await rows(GivenBack, queries.GIVEN_BACK),
        roles=await rows(SeenRole, queries.ROLES),
        loopback=(await session.rows(queries.LOOPBACK))[0]["loopback"],
    )


def _refuse_misfit(version: str, migration: int) -> None:
    """Raise where a worker of this version would refuse to run."""
    needed = migrations()[-1][0]
    if migration < needed:
        raise SchemaMismatch(
            f"df is of pg_durable {version} (migration {migration}); this program, {__version__},"
            f" needs migration {needed}.",
            hint="Run: pg-durable install",
        )
    if migration > needed:
        raise SchemaMismatch(
            f"df is of pg_durable {version} (migration {migration}), which is newer than this"
            f" program, {__version__}.",
            hint="Upgrade the program: pip install --upgrade pg-durable",
        )
