"""Recording progress that needs no statement of the user, many instances in one commit."""

import asyncio
from dataclasses import dataclass, field

from pg_durable.store import Saving, Store

_BATCH = 500


@dataclass(slots=True)
class Saver:
    """Collects while a commit is under way, and records all of it with the next one."""

    store: Store
    worker: int
    _queue: list[tuple[Saving, asyncio.Future[bool]]] = field(default_factory=list)
    _filled: asyncio.Event = field(default_factory=asyncio.Event)

    def save(self, saving: Saving) -> "asyncio.Future[bool]":
        """Record progress. The future tells, after the commit, whether the claim still held."""
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._queue.append((saving, future))
        self._filled.set()
        return future

    async def run(self) -> None:
        """Save what is queued, until cancelled."""
        while True:
            await self._filled.wait()
            batch, self._queue = self._queue[:_BATCH], self._queue[_BATCH:]
            if not self._queue:
                self._filled.clear()
            lost = await self.store.save(self.worker, [saving for saving, _ in batch])
            for saving, future in batch:
                if not future.done():
                    future.set_result(saving.instance not in lost)
