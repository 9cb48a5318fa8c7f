"""Removing what is over: ended instances after a time, and signals that nothing can take.

In batches, each a short transaction that waits for nobody, on a session that holds up neither
claims nor savings, and with as much rest as work between them. Several workers may do it at once.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from pg_durable.errors import ServerUnavailable
from pg_durable.records import Place
from pg_durable.settings import Settings
from pg_durable.store import ENDED, Store, StoreError
from pg_durable.wire import ConnectionLost, Wire
from pg_durable.wire.dsn import worker_dsn

log = logging.getLogger(__name__)

_SWEEP_INTERVAL = 60.0
_BATCH = 10  # at first
_LARGEST_BATCH = 2_000
_LONGEST = 0.1  # seconds for a batch; what takes longer is done in smaller ones
_SIGNALS = 10_000


class Housekeeper:
    """Looks now and then for what can go."""

    def __init__(self, settings: Settings, shared: Store, schema: tuple[int, int]) -> None:
        self._settings = settings
        self._schema = schema
        self._shared = shared  # with one session for management, there is no other

    async def run(self) -> None:
        """Sweep signals, and remove instances as the settings say, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._repeat(_SWEEP_INTERVAL, self._sweep))
            if self._settings.reconcile_interval:
                tasks.create_task(self._repeat(self._settings.reconcile_interval, self._remove))

    async def _repeat(self, interval: float, work: Callable[[Store], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(interval)
            try:
                async with self._session() as store:
                    await work(store)
            except (ServerUnavailable, ConnectionLost, StoreError) as error:
                log.warning("housekeeping is put off for %.0f s: %s", interval, error)

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[Store]:
        if self._settings.max_management_connections < 2:
            yield self._shared
            return
        wire = await Wire.connect(worker_dsn(self._settings.dsn, "management", durable=False))
        try:
            yield Store(wire, self._schema)
        finally:
            wire.close()

    async def _sweep(self, store: Store) -> None:
        while await store.sweep(_SIGNALS) == _SIGNALS:
            pass

    async def _remove(self, store: Store) -> None:
        begun = time.monotonic()
        total = 0
        for status in ENDED:
            place: Place | None = Place()
            batch = _BATCH
            while place is not None:
                before = time.monotonic()
                removed, place = await store.remove_ended(
                    status, self._settings.retention_days, place, batch
                )
                total += removed
                taken = time.monotonic() - before
                batch = max(batch // 2, 1) if taken > _LONGEST else min(batch * 2, _LARGEST_BATCH)
                await asyncio.sleep(taken)
        if total:
            log.info("removed %d ended instances in %.1f s", total, time.monotonic() - begun)
