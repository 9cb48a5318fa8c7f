"""A database of its own for each test, and what tests do with it."""

from collections.abc import Sequence
from typing import Any, cast

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.rows import TupleRow

from support.waiting import DEADLINE, until

# A test server need not survive a power cut; a SIGKILL loses nothing of what the kernel has.
FAST = {"fsync": "off", "full_page_writes": "off", "max_connections": "150"}
TERMINAL = ("completed", "failed", "cancelled")


class Database:
    """A fresh database with the df schema, and an autocommit session of its superuser."""

    def __init__(self, conninfo: str, session: psycopg.AsyncConnection) -> None:
        self.conninfo = conninfo
        self.session = session

    @classmethod
    async def connect(cls, conninfo: str) -> "Database":
        """Open the session."""
        return cls(conninfo, await psycopg.AsyncConnection.connect(conninfo, autocommit=True))

    async def connect_as(self, role: str) -> "Database":
        """Another session, logged in as a role."""
        return await Database.connect(make_conninfo(self.conninfo, user=role))

    async def close(self) -> None:
        """Close the session."""
        await self.session.close()

    async def rows(self, query: str, *params: object) -> list[TupleRow]:
        """Run a statement; its rows, if it returns any."""
        cursor = await self.session.execute(query, params or None)
        return await cursor.fetchall() if cursor.description else []

    async def row(self, query: str, *params: object) -> TupleRow:
        """The only row of a query."""
        (row,) = await self.rows(query, *params)
        return row

    async def scalar(self, query: str, *params: object) -> Any:
        """The only value of a query."""
        (value,) = await self.row(query, *params)
        return value

    async def start(self, workflow: str, label: str | None = None) -> str:
        """Start a workflow given as an SQL expression, such as `'select 1' ~> 'select 2'`."""
        return cast(str, await self.scalar(f"select df.start({workflow}, %s)", label))

    async def start_sql(self, statement: str) -> str:
        """Start a workflow of one SQL step."""
        return cast(str, await self.scalar("select df.start(%s)", statement))

    async def status(self, instance: str) -> str:
        """The stored status."""
        return cast(str, await self.scalar("select df.status(%s)", instance))

    async def wait(
        self, instance: str, statuses: Sequence[str] = TERMINAL, within: float = DEADLINE
    ) -> str:
        """Wait until the instance has one of the statuses; returns it."""
        status = ""

        async def there() -> bool:
            nonlocal status
            status = await self.status(instance)
            return status in statuses

        await until(there, within=within)
        return status

    async def wait_all(self, within: float = DEADLINE) -> None:
        """Wait until no instance is pending or running."""

        async def none_left() -> bool:
            left = await self.scalar(
                "select count(*) from df.instances where status in ('pending', 'running')"
            )
            return cast(int, left) == 0

        await until(none_left, within=within, every=0.05)

    async def result(self, instance: str) -> Any:
        """The result of a completed instance, parsed."""
        return await self.scalar("select df.result(%s)::json", instance)

    async def completed_rows(self, instance: str) -> Any:
        """The rows of the result with which the instance completes."""
        status = await self.wait(instance)
        assert status == "completed", await self.output(instance)
        return (await self.result(instance))["rows"]

    async def active(self, text: str) -> int:
        """How many other sessions are running a statement that contains the text."""
        return cast(
            int,
            await self.scalar(
                "select count(*) from pg_stat_activity"
                " where position(%s in query) > 0 and state = 'active' and pid <> pg_backend_pid()",
                text,
            ),
        )

    async def output(self, instance: str) -> str:
        """The error text or reason of an instance that failed or was cancelled."""
        return cast(
            str, await self.scalar("select output from df.instances where id = %s", instance)
        )
