"""Recording progress that needs no statement of the user, many instances in one commit."""

import asyncio
from dataclasses import dataclass, field

from pg_durable.store import Saving, Store
from pg_durable.wire import ConnectionLost

_BATCH = 500


@dataclass(slots=True)
class Saver:
    """Collects while a commit is under way, and records all of it with the next one."""

    store: Store
    worker: int
    _queue: list[tuple[Saving, asyncio.Future[bool]]] = field(default_factory=list)
    _filled: asyncio.Event = field(default_factory=asyncio.Event)
    _closed: bool = False

    def save(self, saving: Saving) -> "asyncio.Future[bool]":
        """Record progress. The future tells, after the commit, whether the claim still held.

        It raises ConnectionLost when the session ended first.
        """
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        future.add_done_callback(_retrieve)
        self._queue.append((saving, future))
        self._filled.set()
        if self._closed:
            self.close()
        return future

    def close(self) -> None:
        """Nothing will be saved any more: let nobody wait for it."""
        self._closed = True
        for _, future in self._queue:
            if not future.done():
                future.set_exception(ConnectionLost("the worker's session has ended"))
        self._queue.clear()

    async def run(self) -> None:
        """Save what is queued, until cancelled."""
        while True:
            await self._filled.wait()
            batch, self._queue = self._queue[:_BATCH], self._queue[_BATCH:]
            if not self._queue:
                self._filled.clear()
            try:
                lost = await self.store.save(self.worker, [saving for saving, _ in batch])
            except BaseException:
                self._queue = [*batch, *self._queue]  # for close() to answer
                raise
            for saving, future in batch:
                if not future.done():
                    future.set_result(saving.instance not in lost)


def _retrieve(future: "asyncio.Future[bool]") -> None:
    # Not every caller waits; an unread exception would be logged as forgotten.
    if not future.cancelled():
        future.exception()
