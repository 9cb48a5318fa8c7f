"""Recording progress that needs no statement of the user, many instances in one commit."""

import asyncio
import logging
from dataclasses import dataclass, field

from pg_durable.store import BUSY, Saving, Store, StoreError
from pg_durable.wire import ConnectionLost

log = logging.getLogger(__name__)

_BATCH = 500
_BUSY_DELAY = 0.2  # seconds

Queued = tuple[Saving, "asyncio.Future[bool]"]


@dataclass(slots=True)
class Saver:
    """Collects while a commit is under way, and records all of it with the next one."""

    store: Store
    worker: int
    _queue: list[Queued] = field(default_factory=list)
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
                await self._save(batch)
            except BaseException:
                self._queue = [*batch, *self._queue]  # for close() to answer
                raise

    async def _save(self, batch: list[Queued]) -> None:
        try:
            refused = await self.store.save(self.worker, [saving for saving, _ in batch])
        except StoreError as error:
            if len(batch) > 1:  # find the one that cannot be saved: the others must not suffer
                for one in batch:
                    await self._save([one])
                return
            ((saving, future),) = batch
            log.error("instance %s cannot be saved: %s", saving.instance, error)
            if not future.done():
                future.set_exception(error)
            return
        for saving, future in batch:
            reason = refused.get(saving.instance)
            if reason == BUSY:
                asyncio.get_running_loop().call_later(_BUSY_DELAY, self._again, saving, future)
            elif not future.done():
                future.set_result(reason is None)

    def _again(self, saving: Saving, future: "asyncio.Future[bool]") -> None:
        self._queue.append((saving, future))
        self._filled.set()
        if self._closed:
            self.close()


def _retrieve(future: "asyncio.Future[bool]") -> None:
    # Not every caller waits; an unread exception would be logged as forgotten.
    if not future.cancelled():
        future.exception()
