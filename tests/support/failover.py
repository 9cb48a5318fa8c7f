"""Failovers while workers and clients are at work, and what must have come of them."""

import asyncio
import contextlib

import psycopg
from psycopg.conninfo import make_conninfo

from pg_durable.torture.replicas import Replicas
from support.database import Database
from support.ledger import STEPS, WORKFLOW, create_ledger, ledger_step
from support.waiting import until
from support.workers import WorkerProcess

CLIENTS = 3
PATIENCE = 90.0  # seconds; a busy machine copies and promotes slowly


class Starter:
    """Starts workflows one after another, and notes which of them the server acknowledged."""

    def __init__(self, dsn: str, number: int) -> None:
        self.tried: set[str] = set()
        self.acknowledged: set[str] = set()
        self._dsn = make_conninfo(dsn, target_session_attrs="read-write", connect_timeout=5)
        self._number = number
        self._steps = WORKFLOW.format(**{f"step{n}": ledger_step(n) for n in range(1, STEPS + 1)})

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            with contextlib.suppress(psycopg.OperationalError):
                session = await Database.connect(self._dsn)
                try:
                    while True:
                        await self._start(session)
                finally:
                    await session.close()
            await asyncio.sleep(0.05)

    async def _start(self, session: Database) -> None:
        label = f"{self._number}:{len(self.tried)}"
        self.tried.add(label)
        await session.start(self._steps, label)
        self.acknowledged.add(label)
        await asyncio.sleep(0.1)


async def fail_over_under_load(replicas: Replicas, failovers: int) -> None:
    """Kill the primary and promote its standby, again and again; then see that each start that was
    acknowledged is finished, and that each step of all took effect once."""
    workers = [await WorkerProcess(replicas.dsn()).start() for _ in range(2)]
    first = await Database.connect(replicas.dsn())
    await create_ledger(first)
    await first.close()
    clients = [Starter(replicas.dsn(), number) for number in range(CLIENTS)]
    starting = [asyncio.create_task(client.run()) for client in clients]

    for _ in range(failovers):
        await _until_steps_are_made(replicas)
        await asyncio.to_thread(replicas.fail_over)
        replicas.rebuild()  # starts servers: in the main thread, with which they would end
    await _until_steps_are_made(replicas)
    for task in starting:
        task.cancel()
    await asyncio.gather(*starting, return_exceptions=True)

    acknowledged = set[str]().union(*(client.acknowledged for client in clients))
    tried = set[str]().union(*(client.tried for client in clients))
    db = await Database.connect(make_conninfo(replicas.dsn(), target_session_attrs="primary"))
    await db.wait_all(within=PATIENCE)
    rows = await db.rows(
        "select i.label, i.status, count(l.step), count(distinct l.step)"
        " from df.instances i left join ledger l on l.instance = i.id group by i.id"
    )
    assert {tuple(row[1:]) for row in rows} == {("completed", STEPS, STEPS)}
    labels = [row[0] for row in rows]
    assert len(labels) == len(set(labels))
    assert acknowledged <= set(labels) <= tried
    assert await db.scalar("select count(*) from ledger") == len(labels) * STEPS
    assert replicas.failovers == failovers
    await db.close()
    for worker in workers:
        await worker.stop()


async def _until_steps_are_made(replicas: Replicas) -> None:
    """Until steps are recorded that were not yet when it was called: work goes on."""
    async with await psycopg.AsyncConnection.connect(replicas.primary.dsn()) as session:
        await session.set_autocommit(True)

        async def steps() -> int:
            cursor = await session.execute("select count(*) from ledger")
            (count,) = await cursor.fetchone() or (0,)
            return int(count)

        before = await steps()

        async def more() -> bool:
            return await steps() >= before + 30

        await until(more, within=PATIENCE, every=0.05)
