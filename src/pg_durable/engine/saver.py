"""Recording progress that needs no statement of the user, many instances in one commit."""

import asyncio
import logging
from dataclasses import dataclass, field
from typing import NamedTuple

from pg_durable.records import Saving
from pg_durable.store import BUSY, MISFITS, Store, StoreError
from pg_durable.wire import ConnectionLost

log = logging.getLogger(__name__)

_BATCH = 500
_BATCH_SIZE = 32 * 1024 * 1024  # characters of results
_BUSY_DELAY = 0.2  # seconds, then twice as long each time
_LONGEST_BUSY_DELAY = 10.0


class Queued(NamedTuple):
    """What is to be saved, whom to tell, and after how many seconds to try again."""

    saving: Saving
    future: "asyncio.Future[bool]"
    delay: float = _BUSY_DELAY


@dataclass(slots=True)
class Saver:
    """Collects while a commit is under way, and records all of it with the next one."""

    store: Store
    worker: int
    busy: int = 0  # savings whose rows somebody holds in an open transaction
    _queue: list[Queued] = field(default_factory=list)
    _filled: asyncio.Event = field(default_factory=asyncio.Event)
    _closed: bool = False

    def save(self, saving: Saving) -> "asyncio.Future[bool]":
        """Record progress. The future tells, after the commit, whether the claim still held.

        It raises ConnectionLost when the session ended first.
        """
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        future.add_done_callback(_retrieve)
        self._append(Queued(saving, future))
        return future

    def close(self) -> None:
        """Nothing will be saved any more: let nobody wait for it."""
        self._closed = True
        for queued in self._queue:
            if not queued.future.done():
                queued.future.set_exception(ConnectionLost("the worker's session has ended"))
        self._queue.clear()

    async def run(self) -> None:
        """Save what is queued, until cancelled."""
        while True:
            await self._filled.wait()
            batch = self._next_batch()
            if not self._queue:
                self._filled.clear()
            try:
                await self._save(batch)
            except BaseException:
                self._queue = [*batch, *self._queue]  # for close() to answer
                raise

    def _next_batch(self) -> list[Queued]:
        size = count = 0
        for queued in self._queue[:_BATCH]:
            size += queued.saving.size
            if count and size > _BATCH_SIZE:
                break
            count += 1
        batch, self._queue = self._queue[:count], self._queue[count:]
        return batch

    async def _save(self, batch: list[Queued]) -> None:
        try:
            refused = await self.store.save(self.worker, [queued.saving for queued in batch])
        except ConnectionLost:
            raise
        except Exception as error:
            code = error.code if isinstance(error, StoreError) else None
            if code in MISFITS:
                raise  # none can be saved
            if len(batch) > 1:  # find the one that cannot be saved: the others must not suffer
                for one in batch:
                    await self._save([one])
            # Also a give-back must be recorded, or the claim stays for ever.
            elif isinstance(error, StoreError) and error.passes:
                self._try_again(batch[0])
            else:
                log.error("instance %s cannot be saved: %s", batch[0].saving.instance, error)
                if not batch[0].future.done():
                    batch[0].future.set_exception(error)
            return
        for queued in batch:
            reason = refused.get(queued.saving.instance)
            if reason == BUSY:
                self._try_again(queued)
            elif not queued.future.done():
                queued.future.set_result(reason is None)

    def _try_again(self, queued: Queued) -> None:
        """Later, and ever more rarely: whoever holds the rows may do so for hours."""
        self.busy += 1
        longer = queued._replace(delay=min(queued.delay * 2, _LONGEST_BUSY_DELAY))
        asyncio.get_running_loop().call_later(queued.delay, self._again, longer)

    def _again(self, queued: Queued) -> None:
        self.busy -= 1
        if not queued.future.done():
            self._append(queued)

    def _append(self, queued: Queued) -> None:
        self._queue.append(queued)
        self._filled.set()
        if self._closed:
            self.close()


def _retrieve(future: "asyncio.Future[bool]") -> None:
    # Not every caller waits; an unread exception would be logged as forgotten.
    if not future.cancelled():
        future.exception()
