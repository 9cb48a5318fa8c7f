"""The worker process: sessions with the database, one after another, until told to stop."""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket

from pg_durable.engine.files import allow_open_files
from pg_durable.engine.session import Session
from pg_durable.errors import SchemaMismatch, ServerUnavailable
from pg_durable.settings import Settings
from pg_durable.store import StoreError
from pg_durable.wire import ConnectionLost

log = logging.getLogger(__name__)

_FIRST_DELAY = 0.05
_LONGEST_DELAY = 1.0


class Worker:
    """Serves one database. Any number of workers may serve the same one."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._session: Session | None = None
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Finish or release what is running, within the grace period, and return from `run`."""
        self._stopping.set()
        if self._session is not None:
            self._session.stop()

    async def run(self, *, wait_for_server: bool = True) -> None:
        """Work until stopped, through restarts of the server.

        Raises:
            ServerUnavailable: the first connection failed, unless `wait_for_server`.
            SchemaMismatch: the `df` schema is absent, or newer than this program; likewise.
        """
        delay = _FIRST_DELAY
        while not self._stopping.is_set():
            try:
                name = f"{socket.gethostname()}:{os.getpid()}"
                self._session = await Session.open(self._settings, name)
            except (ServerUnavailable, ConnectionLost, SchemaMismatch, StoreError) as error:
                if not wait_for_server:
                    raise
                log.warning("%s; trying again in %.2f s", error, delay)
                await self._pause(delay)
                delay = min(delay * 2, _LONGEST_DELAY)
                continue
            wait_for_server = True
            delay = _FIRST_DELAY
            await self._serve(self._session)

    async def _serve(self, session: Session) -> None:
        if self._stopping.is_set():
            session.stop()
        try:
            await session.run()
        except* (ConnectionLost, StoreError) as lost:
            log.warning("lost the server: %s", "; ".join(str(e) for e in lost.exceptions))
            await self._pause(_FIRST_DELAY)
        finally:
            self._session = None

    async def _pause(self, delay: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay):
                await self._stopping.wait()


async def serve(settings: Settings, *, wait_for_server: bool = False) -> None:
    """Run a worker until SIGTERM or SIGINT; a second signal ends it at once."""
    worker = Worker(settings)
    loop = asyncio.get_running_loop()
    main = asyncio.current_task()
    assert main is not None
    stopped = False

    def on_signal() -> None:
        nonlocal stopped
        if stopped:
            main.cancel()
        stopped = True
        worker.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    try:
        with contextlib.suppress(asyncio.CancelledError):
            await worker.run(wait_for_server=wait_for_server)
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


def run_worker(settings: Settings, *, wait_for_server: bool = False) -> None:
    """Run a worker in this process until it is told to stop."""
    # Steps leave hardly any cycles behind; looking for them as often as Python does by default
    # took a twentieth of a worker's time.
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    allow_open_files(settings.http_max_concurrent + settings.max_user_connections + 1024)
    try:
        import uvloop
    except ImportError:  # not on every Python; asyncio's own loop does
        asyncio.run(serve(settings, wait_for_server=wait_for_server))
    else:
        uvloop.run(serve(settings, wait_for_server=wait_for_server))
