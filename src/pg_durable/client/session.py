"""A session with a database, whose errors are ours."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, LiteralString, Self

import psycopg
from psycopg import AsyncRawCursor, pq
from psycopg.conninfo import make_conninfo
from psycopg.rows import DictRow, dict_row

from pg_durable.client.failures import connection_lost, not_allowed, translate, unavailable
from pg_durable.client.queries import SCHEMA
from pg_durable.errors import SchemaMismatch
from pg_durable.wire.dsn import parse_dsn
from pg_durable.wire.reach import reach


class Session:
    """A connection that may have no `df` schema; an async context manager."""

    def __init__(self, connection: psycopg.AsyncConnection) -> None:
        self.connection = connection

    @classmethod
    async def open(cls, dsn: str = "") -> Self:
        """Log in; an empty `dsn` means libpq's defaults and environment.

        Raises:
            ServerUnavailable: no server, or it refused the login; the hint says what to do.
        """
        parts = reach(parse_dsn(dsn))
        parts.setdefault("application_name", "pg_durable:client")
        parts["client_encoding"] = "UTF8"
        conninfo = make_conninfo("", **parts)
        try:
            # Without prepared statements it works through a pooler, too.
            return cls(
                await psycopg.AsyncConnection.connect(
                    conninfo, autocommit=True, prepare_threshold=None
                )
            )
        except psycopg.Error as error:
            answer = await asyncio.to_thread(pq.PGconn.ping, conninfo.encode())
            raise unavailable(pq.Ping(answer), error) from error

    async def close(self) -> None:
        """Close the session."""
        await self.connection.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def check_schema(self) -> None:
        """See that the database has a `df` schema that this role may use.

        Raises:
            SchemaMismatch: there is none.
            NotAllowed: the role may not use it.
        """
        (row,) = await self.rows(SCHEMA)
        if not row["installed"]:
            raise SchemaMismatch(
                f"Database {row['database']!r} has no df schema.",
                hint="Create it, with the same connection: pg-durable install",
            )
        if not row["usable"]:
            role = row["role"]
            raise not_allowed(
                f"Role {role!r} may not use the df schema of {row['database']!r}.", role
            )

    async def rows(self, query: LiteralString, params: Any = None) -> list[DictRow]:
        """The rows of a query, by the names of their columns."""
        async with self.translated(), self.connection.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(query, params)
            return await cursor.fetchall()

    async def scalar(self, query: LiteralString, params: Any = None) -> object:
        """The first value of a query; None if it has no rows."""
        async with self.translated():
            cursor = await self.connection.execute(query, params)
            (value,) = await cursor.fetchone() or (None,)
            return value

    async def scalar_of_user(self, query: str, params: Any) -> object:
        """The same for a statement that holds the user's own text; parameters are $1, $2 …

        Raises:
            InvalidWorkflow: the server rejected it.
        """
        # A raw cursor takes no % in the text for a placeholder.
        async with self.translated(of_user=True), AsyncRawCursor(self.connection) as cursor:
            await cursor.execute(query.encode(), params)
            (value,) = await cursor.fetchone() or (None,)
            return value

    @asynccontextmanager
    async def translated(self, *, of_user: bool = False) -> AsyncIterator[None]:
        """Raise psycopg's errors as ours; `of_user`: the statement holds the user's own text."""
        try:
            yield
        except psycopg.Error as error:
            if self.connection.closed:
                raise connection_lost(error) from error
            raise translate(error, self.connection.info.user, of_user=of_user) from error


async def probe(dsn: str) -> None:
    """Log in and out again.

    Raises:
        ServerUnavailable: no server, or it refused the login; the hint says what to do.
    """
    await (await Session.open(dsn)).close()
