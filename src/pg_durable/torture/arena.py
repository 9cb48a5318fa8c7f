"""A round's database with its workers, and how faults reach them."""

import asyncio
import random
import shutil
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from pg_durable.schema import install
from pg_durable.torture.ledger import WORKER_ROLE, make_roles, make_tables
from pg_durable.torture.plan import ROLES, Plan
from pg_durable.torture.proxy import Proxy
from pg_durable.torture.server import Server
from pg_durable.torture.workers import WorkerProcess

PATIENCE = 120.0  # seconds that a busy machine may take for anything
_TEMPLATE = "torture_template"


class Arena:
    """What there is in a round to work with, and to break."""

    def __init__(self, server: Server, plan: Plan, database: str) -> None:
        self.server = server
        self.plan = plan
        self.database = database
        self.logs = server.directory / database
        self.proxy = Proxy.before(server.dsn(database), dice=random.Random(plan.seed))
        self.workers: list[WorkerProcess] = []
        self.crashed = False  # the server was, so that it had to recover
        self.cut_short: Counter[str] = Counter()  # faults that fell to others, by kind

    async def open(self) -> None:
        """Make the database, and start the workers."""
        await make_database(self.server, self.database)
        self.logs.mkdir()
        self.proxy.start()
        settings = {
            "lease": str(self.plan.lease),
            "heartbeat_interval": str(self.plan.lease / 4),
            "max_user_connections": str(self.plan.sessions),
            "grace": "5",
        }
        for number in range(self.plan.workers):
            dsn = self.dsn(WORKER_ROLE, through_proxy=self.plan.proxied)
            self.workers.append(WorkerProcess(number, dsn, settings, self.logs))
        await asyncio.gather(*(worker.start() for worker in self.workers))
        await self.until_registered()

    async def close(self, *, keep: bool = False) -> None:
        """End what still runs, and drop the database unless it is to be kept."""
        for worker in self.workers:
            worker.thaw()
            await worker.kill()
        self.proxy.stop()
        if keep:
            return
        with suppress(psycopg.Error):  # the next server does not have it anyway
            async with await self.session("postgres") as session:
                name = sql.Identifier(self.database)
                await session.execute(sql.SQL("drop database {} with (force)").format(name))
        shutil.rmtree(self.logs, ignore_errors=True)

    def dsn(self, role: str, *, through_proxy: bool = False) -> str:
        """Where a worker or a client of that role connects."""
        dsn = self.server.dsn(self.database, role)
        return self.proxy.dsn(dsn) if through_proxy else dsn

    async def session(self, database: str | None = None) -> psycopg.AsyncConnection[Any]:
        """A session of the superuser, in autocommit mode.

        Raises:
            psycopg.OperationalError: the server cannot be reached.
        """
        dsn = self.server.dsn(self.database if database is None else database)
        return await psycopg.AsyncConnection.connect(dsn, autocommit=True, connect_timeout=10)

    async def until_registered(self) -> None:
        """Return when each worker has its row and its session, and there is no other row.

        Raises:
            TimeoutError: that takes too long; the numbers are in its message.
        """
        give_up = asyncio.get_running_loop().time() + PATIENCE
        async with await self.session() as session:
            while True:
                cursor = await session.execute(
                    "select count(*), count(l.worker) from df._worker_epoch e"
                    " left join df._living_workers() l (worker) on l.worker = e.worker"
                )
                row = await cursor.fetchone()
                if row == (len(self.workers), len(self.workers)):
                    return
                if asyncio.get_running_loop().time() > give_up:
                    raise TimeoutError(
                        f"{row} rows and sessions of workers; there are {len(self.workers)}"
                    )
                await asyncio.sleep(0.05)

    def log_texts(self) -> Sequence[tuple[Path, str]]:
        """What the workers have said."""
        return [(w.log, w.log.read_text(errors="replace")) for w in self.workers if w.log.exists()]


async def make_template(server: Server) -> None:
    """Once for a server: roles, and a database to copy."""
    async with await _connect(server, "postgres") as session:
        await make_roles(session, ROLES)
        await session.execute(f"create database {_TEMPLATE}")
    await asyncio.to_thread(install, server.dsn(_TEMPLATE))
    async with await _connect(server, _TEMPLATE) as session:
        await make_tables(session, ROLES)
        await session.execute("select df.grant_worker(%s)", [WORKER_ROLE])


async def make_database(server: Server, name: str) -> None:
    """A fresh one with everything in it."""
    async with await _connect(server, "postgres") as session:
        await session.execute(
            sql.SQL("create database {} template {}").format(
                sql.Identifier(name), sql.Identifier(_TEMPLATE)
            )
        )


async def _connect(server: Server, database: str) -> psycopg.AsyncConnection[Any]:
    return await psycopg.AsyncConnection.connect(server.dsn(database), autocommit=True)
