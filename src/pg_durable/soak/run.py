"""The phases of a soak: find the peak, load at a share of it, drain, judge."""

import asyncio
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg
from psycopg import sql
from rich.console import Console

from pg_durable import __version__
from pg_durable.embedded import EmbeddedServer
from pg_durable.errors import EmbeddedError
from pg_durable.schema import install
from pg_durable.soak.drive import Driver
from pg_durable.soak.look import Observer, machine
from pg_durable.soak.mix import EFFECTS, TABLES
from pg_durable.soak.report import Found
from pg_durable.soak.window import Window, window

_ROLES = ["soak_one", "soak_two"]
# Ended instances go at once, so that tables come to a level.
_RETENTION = {"PG_DURABLE_RETENTION_DAYS": "0", "PG_DURABLE_RECONCILE_INTERVAL": "20"}
_BACKLOG = 300  # of unfinished instances, while the peak is measured
_TELL_EVERY = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is asked for; times in seconds.

    Attributes:
        seconds: of the load.
        calibrate: of finding the peak.
        share: of the peak that is driven.
        every: between two looks.
        warming: of the load that are not judged: tables and caches come to their level.
        workers: how many processes.
        open_transaction: whether one is opened after a third of the judged time, and held.
        drain: within which all must have ended.
    """

    seconds: float = 1800.0
    calibrate: float = 30.0
    share: float = 0.7
    every: float = 5.0
    warming: float = 300.0
    workers: int = 1
    open_transaction: bool = False
    drain: float = 120.0
    seed: int = 1

    @property
    def opened_at(self) -> float | None:
        """When the transaction is opened, in seconds of the load."""
        if not self.open_transaction:
            return None
        return self.warming + (self.seconds - self.warming) / 3


def run_soak(plan: Plan, console: Console) -> Found:
    """Run it on an embedded server with fsync on, and tell about it each minute."""
    with (
        tempfile.TemporaryDirectory(prefix="pg_durable_soak_") as folder,
        EmbeddedServer(Path(folder)) as server,
    ):
        _prepare(server.dsn())
        with _workers(server.dsn(), plan.workers) as workers:
            return asyncio.run(_soak(plan, server, workers, console))


async def _soak(
    plan: Plan, server: EmbeddedServer, workers: list[psutil.Process], console: Console
) -> Found:
    postmaster = server.postmaster_pid
    if postmaster is None:
        raise EmbeddedError("The server of the soak has ended.")
    dsn = server.dsn()
    observer = Observer(dsn, postmaster, workers, _ROLES)
    async with Driver.open(dsn, _ROLES, plan.seed) as driver:
        peak = await driver.closely(dsn, _BACKLOG, plan.calibrate)
        rate = plan.share * peak
        console.print(f"Peak {peak:.1f} instances a second; loading with {rate:.1f}.")
        peak_after = None
        async with _snapshot_from(dsn, plan.opened_at):
            windows = await _load(plan, driver, observer, rate, console)
            if plan.open_transaction:
                peak_after = await driver.closely(dsn, _BACKLOG, plan.calibrate)
        left = await driver.drain(dsn, plan.drain)
    found = Found(
        about=_about(plan),
        peak=peak,
        rate=rate,
        peak_after=peak_after,
        opened_at=plan.opened_at,
        left=left,
        instances=driver.instances,
        steps=driver.steps,
        effects=observer.effects(EFFECTS),
        warming=plan.warming,
        windows=windows,
        worker_died=observer.worker_died(),
    )
    observer.close()
    return found


async def _load(
    plan: Plan, driver: Driver, observer: Observer, rate: float, console: Console
) -> list[Window]:
    """Start by the rate, and look every few seconds."""
    windows: list[Window] = []
    begun = time.time()
    before = await asyncio.to_thread(observer.look)
    started = driver.instances
    load = asyncio.create_task(driver.by_rate(rate, plan.seconds))
    told = begun
    while not load.done():
        await asyncio.wait([load], timeout=plan.every)
        if observer.worker_died():
            load.cancel()
            return windows
        after = await asyncio.to_thread(observer.look)
        windows.append(window(before, after, begun, driver.instances - started, driver.behind))
        before, started = after, driver.instances
        if after.at - told >= _TELL_EVERY:
            told = after.at
            console.print(_line(windows[-1]))
    await load
    return windows


def _line(row: Window) -> str:
    names = ("starts/s", "latency p50, ms", "latency p99, ms", "queue", "worker memory, MB",
             "tables, MB", "dead rows", "cores busy with others")  # fmt: skip
    shown = ", ".join(f"{name} {row.figures.get(name, float('nan')):.1f}" for name in names)
    return f"{row.at / 60:5.1f} min: {shown}"


@asynccontextmanager
async def _snapshot_from(dsn: str, opened_at: float | None) -> AsyncIterator[None]:
    """Hold a transaction with a snapshot open, from so many seconds after now on."""
    if opened_at is None:
        yield
        return

    async def hold() -> None:
        await asyncio.sleep(opened_at)
        async with await psycopg.AsyncConnection.connect(dsn, application_name="held") as session:
            await session.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
            await session.execute("select count(*) from df.instances")
            await asyncio.Event().wait()

    holding = asyncio.create_task(hold())
    try:
        yield
    finally:
        holding.cancel()
        await asyncio.wait([holding])


def _prepare(dsn: str) -> None:
    install(dsn)
    with psycopg.connect(dsn, autocommit=True) as session:
        session.execute(TABLES)
        for role in _ROLES:
            name = sql.Identifier(role)
            session.execute(sql.SQL("create role {} login").format(name))
            session.execute("select df.grant_usage(%s)", (role,))
            session.execute(
                sql.SQL("grant select, update on soak_work, soak_rounds to {}").format(name)
            )


@contextmanager
def _workers(dsn: str, count: int) -> Iterator[list[psutil.Process]]:
    """Workers as processes of their own, registered."""
    command = [sys.executable, "-m", "pg_durable", "worker", dsn, "--quiet", "--until-input-ends"]
    environment = {**os.environ, **_RETENTION}
    processes = [
        subprocess.Popen(command, env=environment, stdin=subprocess.PIPE) for _ in range(count)
    ]
    try:
        with psycopg.connect(dsn, autocommit=True) as session:
            while _registered(session) < count:
                if any(process.poll() is not None for process in processes):
                    raise EmbeddedError("A worker of the soak ended at its start.")
                time.sleep(0.05)
        yield [psutil.Process(process.pid) for process in processes]
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait()


def _registered(session: psycopg.Connection) -> int:
    row = session.execute("select count(*) from df._worker_epoch").fetchone()
    return int(row[0]) if row else 0


def _about(plan: Plan) -> dict[str, object]:
    return {
        "pg_durable": __version__,
        "python": platform.python_version(),
        "ended_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": machine(),
        "load_average": os.getloadavg(),
        "plan": {name: getattr(plan, name) for name in Plan.__slots__},
    }
