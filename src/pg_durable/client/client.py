"""A session in which workflows are started, watched, signalled, awaited and cancelled."""

import asyncio
import re
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from pg_durable.client.queries import NODES, ONE, PAGE, RESULT, SIGNAL, WAITS_FOR
from pg_durable.client.rows import Instance, Node, Page, in_order
from pg_durable.client.session import Session
from pg_durable.errors import InvalidWorkflow, NotFound, WaitTimeout

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

    def __init__(self, session: Session) -> None:
        self._session = session

    @classmethod
    async def connect(cls, dsn: str = "") -> "Client":
        """Open a session; an empty `dsn` means libpq's defaults and environment.

        Raises:
            ServerUnavailable: no server, or it refused the login.
            SchemaMismatch: the database has no `df` schema.
            NotAllowed: the role may not use it.
        """
        session = await Session.open(dsn)
        try:
            await session.check_schema()
        except BaseException:
            await session.close()
            raise
        return cls(session)

    async def close(self) -> None:
        """Close the session."""
        await self._session.close()

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
        rows = await self._session.rows(PAGE, [status, limit, label, after])
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
        rows = await self._session.rows(ONE, [instance_id])
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
        rows = await self._session.rows(NODES, {"id": instance_id})
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
            tree = str(await self._session.scalar("select df.explain(%s)", [instance.id]))
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
        async with self._session.translated(), self._session.connection.transaction():
            before = await self.instance(instance_id)
            await self._session.scalar("select df.cancel(%s, %s)", [instance_id, reason])
            after = await self.instance(instance_id)
        return not before.ended and after.status == "cancelled"

    async def signal(self, instance_id: str, name: str, data: str | None = None) -> bool:
        """Send a signal to an instance. False: it had ended before, and nothing will take it.

        `data` is JSON, or any other text, which arrives as a JSON string; without it, `{}`. Waits
        of that name take it at once; if there is none, the next one does.

        Raises:
            NotFound: there is no such instance, or it is another role's.
            InvalidWorkflow: the name is empty.
            LimitExceeded: the name or the data is too long.
        """
        before = await self.instance(instance_id)
        await self._session.scalar(SIGNAL, [instance_id, name, data])
        return not before.ended

    async def waits_for(self, instance_id: str) -> str | None:
        """Tell what an instance waits for, such as `signal go`; None if it has ended.

        Raises:
            NotFound: there is no such instance, or it is another role's.
        """
        await self.instance(instance_id)
        found = await self._session.scalar(WAITS_FOR, [instance_id])
        return None if found is None else str(found)

    async def result(self, instance_id: str) -> str | None:
        """Return the result of a completed instance as JSON text; None of any other.

        Raises:
            NotFound: there is no such instance, or it is another role's.
        """
        instance = await self.instance(instance_id)
        if instance.status != "completed":
            return None
        result = await self._session.scalar(RESULT, [instance_id, instance.root_node])
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
        value = await self._session.scalar_of_user(query, params)
        return value if value is None else str(value)
