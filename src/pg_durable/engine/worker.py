"""The worker process: for each database, sessions one after another, until told to stop."""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
from collections.abc import Mapping
from contextvars import ContextVar

from pg_durable.engine.files import allow_open_files
from pg_durable.engine.session import Session
from pg_durable.engine.watch import is_misfit
from pg_durable.errors import (
    InvalidWorkflow,
    SchemaMismatch,
    SchemaNotReady,
    ServerUnavailable,
)
from pg_durable.settings import Settings
from pg_durable.store import StoreError
from pg_durable.wire import ConnectionLost
from pg_durable.wire.cancelling import cancel_requests_sent

log = logging.getLogger(__name__)

_FIRST_DELAY = 0.05
_LONGEST_DELAY = 0.5
# A setting of the database that cannot be is an InvalidWorkflow.
_NOT_NOW = (ServerUnavailable, ConnectionLost, StoreError, InvalidWorkflow)
_SCHEMA_DELAY = 5.0
_STEADY = 10.0  # seconds after which a session has not failed at once

# Which of several databases the present task serves; empty where there is one only.
served_database: ContextVar[str] = ContextVar("served_database", default="")


class Worker:
    """Serves one database. Any number of workers may serve the same one."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._session: Session | None = None
        self._stopping = asyncio.Event()
        self._delay = _FIRST_DELAY
        self._said: str | None = None  # what it waits for
        self._doubt: str | None = None  # why the last session took the schema for another

    def stop(self) -> None:
        """Finish or release what is running, within the grace period, and return from `run`."""
        self._stopping.set()
        if self._session is not None:
            self._session.stop()

    async def run(self, *, wait_for_server: bool = True, wait_for_schema: bool = True) -> None:
        """Work until stopped, through restarts of the server, and while the schema is replaced.

        Raises:
            ServerUnavailable: the first connection failed, unless `wait_for_server`.
            SchemaNotReady: the `df` schema is absent or older than this program, unless
                `wait_for_schema`.
            SchemaMismatch: it is newer, now or later: another program has to go on.
            InvalidWorkflow: the database has a setting that cannot be, unless `wait_for_server`.
        """
        while not self._stopping.is_set():
            try:
                name = f"{socket.gethostname()}:{os.getpid()}"
                session = await Session.open(self._settings, name)
            except SchemaNotReady as error:
                if not wait_for_schema:
                    raise
                wait_for_server = True  # there is one
                self._doubt = None
                self._say(f"{error} Looking again every {_SCHEMA_DELAY:.0f} s")
                await self._pause(_SCHEMA_DELAY)
                continue
            except _NOT_NOW as error:
                if not wait_for_server:
                    raise
                self._say(f"{error}; trying again")
                await self._pause_longer()
                continue
            wait_for_server = wait_for_schema = True
            self._said = None
            if self._doubt is not None:
                log.warning("beginning afresh: %s", self._doubt)
            await self._serve(session)
        await cancel_requests_sent()

    async def _serve(self, session: Session) -> None:
        self._session = session
        self._doubt = None
        began = asyncio.get_running_loop().time()
        if self._stopping.is_set():
            session.stop()
        ends: list[BaseException] = []
        try:
            await session.run()
        except* (ConnectionLost, StoreError, SchemaMismatch) as group:
            ends = _leaves(group)
        finally:
            self._session = None

        for end in ends:
            if isinstance(end, SchemaMismatch) and not isinstance(end, SchemaNotReady):
                raise end
        if asyncio.get_running_loop().time() - began > _STEADY:
            self._delay = _FIRST_DELAY
        doubts = [e for e in ends if is_misfit(e) or isinstance(e, SchemaNotReady)]
        if doubts:
            self._doubt = str(doubts[0])  # what is the matter is found by looking at it again
        elif ends:
            log.warning("lost the server: %s", "; ".join(str(end) for end in ends))
        if ends:
            await self._pause_longer()

    def _say(self, why: str) -> None:
        """Tell what it waits for: once, however often it looks."""
        if why != self._said:
            self._said = why
            log.warning("%s", why)

    async def _pause_longer(self) -> None:
        await self._pause(self._delay)
        self._delay = min(self._delay * 2, _LONGEST_DELAY)

    async def _pause(self, delay: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay):
                await self._stopping.wait()


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    found: list[BaseException] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found


async def serve(
    databases: Mapping[str, Settings],
    *,
    wait_for_server: bool = False,
    wait_for_schema: bool = False,
) -> None:
    """Run a worker for each database until SIGTERM or SIGINT; a second signal ends it at once.

    The databases are given by the names that they have in the log. One that cannot be served any
    more is let go, and the others are served on; the first such error is raised at the end.
    """
    workers = {name: Worker(settings) for name, settings in databases.items()}
    loop = asyncio.get_running_loop()
    main = asyncio.current_task()
    assert main is not None
    stopped = False

    def on_signal() -> None:
        nonlocal stopped
        if stopped:
            main.cancel()
        stopped = True
        for worker in workers.values():
            worker.stop()

    async def run(name: str, worker: Worker) -> None:
        if len(workers) > 1:
            served_database.set(name)
        try:
            await worker.run(wait_for_server=wait_for_server, wait_for_schema=wait_for_schema)
        except Exception as error:
            if len(workers) > 1:
                log.error("not served any more: %s", error)
            raise

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    try:
        with contextlib.suppress(asyncio.CancelledError):
            ends = await asyncio.gather(
                *(run(name, worker) for name, worker in workers.items()), return_exceptions=True
            )
            for end in ends:
                if isinstance(end, Exception):
                    raise end
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


def run_workers(
    databases: Mapping[str, Settings],
    *,
    wait_for_server: bool = False,
    wait_for_schema: bool = False,
) -> None:
    """Run a worker for each database in this process until it is told to stop; see `serve`."""
    # Runs leave no cycles behind; looking for them as often as Python does by default
    # took a twentieth of a worker's time.
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    allow_open_files()
    serving = serve(databases, wait_for_server=wait_for_server, wait_for_schema=wait_for_schema)
    try:
        import uvloop
    except ImportError:  # not on every Python; asyncio's own loop does
        asyncio.run(serving)
    else:
        uvloop.run(serving)
