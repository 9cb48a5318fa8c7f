"""The instances that a session holds, each driven by a task; and how many more it may hold."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable

from pg_durable.engine.context import Context
from pg_durable.engine.giving_back import released
from pg_durable.engine.run import Run
from pg_durable.records import Claimed

log = logging.getLogger(__name__)

_MOST_WAITING = 10  # times the capacity


class Runs:
    """Drives what was claimed. Sets `attention` when there is room, or something may be due."""

    def __init__(self, context: Context, attention: asyncio.Event) -> None:
        self._context = context
        self._attention = attention
        self._capacity = context.settings.max_user_connections * context.settings.claim_ahead
        self._tasks: dict[str, asyncio.Task[None]] = {}  # by instance
        self._on_signal: dict[str, Callable[[], None]] = {}  # by instance that is being driven
        self._held: Counter[str] = Counter()  # of these, by role
        context.http.on_change = self._room_changed

    def tasks(self) -> dict[str, asyncio.Task[None]]:
        """Who drives which instance now."""
        return dict(self._tasks)

    def room(self) -> int:
        """How many more instances this worker may hold."""
        # Those that wait for somebody's open transaction, or for HTTP servers, must not keep
        # others out.
        context = self._context
        waiting = min(context.saver.busy, _MOST_WAITING * self._capacity)
        requesting = min(context.http.under_way, context.settings.http_max_concurrent)
        return self._capacity - len(self._tasks) + waiting + requesting

    def has_room(self) -> bool:
        """Whether to claim: in batches rather than one by one."""
        return self.room() >= self._capacity // 2

    def share(self) -> int:
        """How many each role may hold when another one comes to those that hold something."""
        return max(self._capacity // (len(self._held) + 1), 1)

    def sated(self) -> list[str]:
        """The roles that hold their share, or more."""
        share = self.share()
        return [role for role, held in self._held.items() if held >= share]

    def drive(self, instance: Claimed) -> None:
        """Take an instance on."""
        run = Run(instance, self._context)
        task = self._tasks[instance.id] = asyncio.create_task(run.drive())
        self._held[instance.role] += 1
        self._on_signal[instance.id] = run.look_for_signals
        task.add_done_callback(lambda task: self._ended(run, task))

    def signalled(self, instance: str) -> None:
        """Somebody says that there is a signal for the instance."""
        self._on_signal.get(instance, self._attention.set)()

    def drop(self, instance: str, task: asyncio.Task[None]) -> None:
        """Stop a run, and its statement in the server; the instance is not ours any more. Claimed
        anew meanwhile, it has another one, which goes on."""
        if self._tasks.get(instance) is task:
            task.cancel()

    async def let_end(self) -> None:
        """Wait for them to come to the end of a step, for the grace period at most."""
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=self._context.settings.grace)

    async def cancel(self) -> None:
        """Stop them all."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _room_changed(self) -> None:
        if self.room() == self._capacity - self._capacity // 2:
            self._attention.set()

    def _ended(self, run: Run, task: asyncio.Task[None]) -> None:
        claimed = run.claimed
        run.close()
        if self._tasks.get(claimed.id) is task:
            del self._tasks[claimed.id], self._on_signal[claimed.id]
        self._held[claimed.role] -= 1
        held = self._held[claimed.role]
        if not held:
            del self._held[claimed.role]
        if held == self.share() // 2:
            self._attention.set()
        self._room_changed()
        if run.parked_for < self._context.settings.poll_interval:  # longer ones: by polling
            asyncio.get_running_loop().call_later(run.parked_for, self._attention.set)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a run ended with an error", exc_info=error)
            # Not driven any more, and ours for ever otherwise.
            self._context.saver.save(released(claimed.id, claimed.attempts + 1))
