"""A session in which workflows are started, watched, awaited and cancelled."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, LiteralString, Self

import psycopg
from psycopg import AsyncRawCursor, pq
from psycopg.conninfo import make_conninfo
from psycopg.rows import DictRow, dict_row

from pg_durable.client.failures import connection_lost, not_allowed, translate, unavailable
from pg_durable.client.queries import NODES, ONE, PAGE, RESULT, SCHEMA
from pg_durable.client.rows import Instance, Node, Page, in_order
from pg_durable.errors import InvalidWorkflow, NotFound, SchemaMismatch, WaitTimeout
from pg_durable.wire.dsn import parse_dsn

_CONNECT_TIMEOUT = "10"  # seconds, unless the connection string says otherwise
_FIRST_POLL, _LONGEST_POLL = 0.01, 0.5  # seconds

_INSTANCE_ID = re.compile(r"\s*[0-9a-f]{8}\s*", re.IGNORECASE)
_COMMENTS = r"(?:\s|--[^\n]*(?:\n|$)|/\*.*?\*/)*"
_ENVELOPE = re.compile(r"\s*\{")
# What no expression begins with, so that it can only be meant as a statement.
_STATEMENT = re.compile(
    _COMMENTS + r"(?:select|insert|update|delete|with|create|alter|drop|call|do|truncate|grant"
    r"|revoke|explain)\b(?!\s*\.)",
    re.IGNORECASE | re.DOTALL,
)
# df.explain returns these texts where another function would raise.
_EXPLAIN_REFUSALS = (
    "Expression returned NULL",
    "Cannot explain input",
    "Failed to evaluate expression",
    "Failed to parse Durofut JSON",
    "Invalid Durofut JSON",
    "Invalid durable function graph",
)


class Client:
    """A session with a database that has the `df` schema; an async context manager.

    Any method raises ServerUnavailable when the connection is lost, NotAllowed when the role
    lacks a privilege, and SchemaMismatch when the schema is older than this program.
    """

    def __init__(self, connection: psycopg.AsyncConnection) -> None:
        self._connection = connection

    @classmethod
    async def connect(cls, dsn: str = "") -> "Client":
        """Open a session; an empty `dsn` means libpq's defaults and environment.

        Raises:
            ServerUnavailable: no server, or it refused the login.
            SchemaMismatch: the database has no `df` schema.
            NotAllowed: the role may not use it.
        """
        client = cls(await _open(dsn))
        try:
            await client._check_schema()
        except BaseException:
            await client.close()
            raise
        return client

    async def close(self) -> None:
        """Close the session."""
        await self._connection.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def start(
        self, workflow: str, *, label: str | None = None, database: str | None = None
    ) -> str:
        """Start a workflow and return the id of its instance; does not wait for it.

        `workflow` is an SQL expression of the DSL, such as `'select 1' ~> df.sleep(5)`,
        evaluated in this session; or one SQL statement, such as `select 1`, to be its only
        step; or the JSON text that such an expression returns. `database` is where the steps
        run, if not in this session's database.

        Raises:
            InvalidWorkflow: it cannot be evaluated, or does not make a workflow.
        """
        return str(await self._of_workflow("df.start", workflow, [label, database]))

    async def list_instances(
        self,
        *,
        status: str | None = None,
        label: str | None = None,
        limit: int = 100,
        after: str | None = None,
    ) -> Page:
        """Return up to `limit` instances, newest first, that follow the cursor `after`.

        Raises:
            InvalidWorkflow: `limit` is below 1, or `after` is no cursor.
            LimitExceeded: `limit` is above `pg_durable.list_instances_max_limit`.
        """
        rows = await self._rows(PAGE, [status, limit, label, after])
        cursors = [row.pop("next_cursor") for row in rows]
        return Page(
            instances=[Instance(**row) for row in rows],
            next_cursor=cursors[0] if cursors else None,
        )

    async def instance(self, instance_id: str) -> Instance:
        """Return one instance.

        Raises:
            NotFound: there is none of that id, or it is another role's.
        """
        rows = await self._rows(ONE, [instance_id])
        if not rows:
            raise NotFound(
                f"There is no instance {instance_id!r} that this role may see.",
                hint="List them: pg-durable list",
            )
        return Instance(**rows[0])

    async def nodes(self, instance_id: str) -> list[Node]:
        """Return the nodes of an instance in the order of its tree, the root first.

        Raises:
            NotFound: there is no such instance, or it is another role's.
        """
        instance = await self.instance(instance_id)
        rows = await self._rows(NODES, {"id": instance_id})
        return in_order([Node(**row) for row in rows], instance.root_node)

    async def explain(self, subject: str) -> str:
        """Return the tree of an instance (by id), of an expression or of an SQL statement.

        An expression is evaluated in this session, as by `start`; nothing is started.

        Raises:
            NotFound: there is no such instance, or it is another role's.
            InvalidWorkflow: the expression cannot be evaluated, or makes no workflow.
        """
        if _INSTANCE_ID.fullmatch(subject):
            instance = await self.instance(subject.strip().lower())
            tree = str(await self._scalar("select df.explain(%s)", [instance.id]))
        else:
            tree = await self._of_workflow("df.explain", subject, []) or _EXPLAIN_REFUSALS[0]
        if tree.startswith(_EXPLAIN_REFUSALS):
            raise InvalidWorkflow(" ".join(tree.split()))
        return "\n".join(line.rstrip() for line in tree.split("\n"))

    async def cancel(self, instance_id: str, reason: str = "Cancelled by user") -> bool:
        """Cancel an instance. False: it had ended before, and nothing changed.

        Raises:
            NotFound: there is no such instance, or it is another role's.
        """
        async with self._translated(), self._connection.transaction():
            before = await self.instance(instance_id)
            await self._scalar("select df.cancel(%s, %s)", [instance_id, reason])
            after = await self.instance(instance_id)
        return not before.ended and after.status == "cancelled"

    async def result(self, instance_id: str) -> str | None:
        """Return the result of a completed instance as JSON text; None of any other.

        Raises:
            NotFound: there is no such instance, or it is another role's.
        """
        instance = await self.instance(instance_id)
        if instance.status != "completed":
            return None
        result = await self._scalar(RESULT, [instance_id, instance.root_node])
        return None if result is None else str(result)

    async def wait(self, instance_id: str, timeout: float | None = None) -> Instance:
        """Wait until an instance has ended, and return it; `timeout` is in seconds.

        Raises:
            NotFound: there is no such instance, or it is another role's.
            WaitTimeout: it has not ended in time.
        """
        give_up = float("inf") if timeout is None else time.monotonic() + timeout
        pause = _FIRST_POLL
        while not (instance := await self.instance(instance_id)).ended:
            left = give_up - time.monotonic()
            if left <= 0:
                raise WaitTimeout(
                    f"Instance {instance_id} is still {instance.status} after {timeout:g} s.",
                    hint="Wait longer, or see that a worker runs: pg-durable worker",
                )
            await asyncio.sleep(min(pause, left))
            pause = min(pause * 1.5, _LONGEST_POLL)
        return instance

    async def _check_schema(self) -> None:
        async with self._translated():
            cursor = await self._connection.execute(SCHEMA)
            database, role, installed, usable = await cursor.fetchone() or ("", "", False, False)
        if not installed:
            raise SchemaMismatch(
                f"Database {database!r} has no df schema.",
                hint="Create it, with the same connection: pg-durable install",
            )
        if not usable:
            raise not_allowed(f"Role {role!r} may not use the df schema of {database!r}.", role)

    async def _of_workflow(
        self, function: str, workflow: str, more: Sequence[str | None]
    ) -> str | None:
        """Call a function on a workflow given as text."""
        params = [*more, workflow]
        last = f"${len(params)}"
        if _ENVELOPE.match(workflow):
            argument = last
        elif _STATEMENT.match(workflow):
            argument = f"df.sql({last})"
        else:  # on lines of its own, since it may end in a comment
            argument, params = f"(\n{workflow}\n)", [*more]
        places = "".join(f", ${number}" for number in range(1, len(more) + 1))
        query = f"select {function}({argument}{places})"
        # A raw cursor takes no % in the workflow for a placeholder.
        async with self._translated(of_user=True), AsyncRawCursor(self._connection) as cursor:
            await cursor.execute(query.encode(), params)
            (value,) = await cursor.fetchone() or (None,)
        return value if value is None else str(value)

    async def _rows(self, query: LiteralString, params: Any) -> list[DictRow]:
        async with self._translated(), self._connection.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(query, params)
            return await cursor.fetchall()

    async def _scalar(self, query: LiteralString, params: Any) -> object:
        async with self._translated():
            cursor = await self._connection.execute(query, params)
            (value,) = await cursor.fetchone() or (None,)
            return value

    @asynccontextmanager
    async def _translated(self, *, of_user: bool = False) -> AsyncIterator[None]:
        """Raise psycopg's errors as ours; `of_user`: the statement holds the user's own text."""
        try:
            yield
        except psycopg.Error as error:
            if self._connection.closed:
                raise connection_lost(error) from error
            raise translate(error, self._connection.info.user, of_user=of_user) from error


async def probe(dsn: str) -> None:
    """Log in and out again.

    Raises:
        ServerUnavailable: no server, or it refused the login; the hint says what to do.
    """
    await (await _open(dsn)).close()


async def _open(dsn: str) -> psycopg.AsyncConnection:
    parts = parse_dsn(dsn)
    parts.setdefault("connect_timeout", _CONNECT_TIMEOUT)
    parts.setdefault("application_name", "pg_durable:client")
    parts["client_encoding"] = "UTF8"
    conninfo = make_conninfo("", **parts)
    try:
        # Without prepared statements it works through a pooler, too.
        return await psycopg.AsyncConnection.connect(
            conninfo, autocommit=True, prepare_threshold=None
        )
    except psycopg.Error as error:
        answer = await asyncio.to_thread(pq.PGconn.ping, conninfo.encode())
        raise unavailable(pq.Ping(answer), error) from error
