"""Slow steps show: a row says `running` when its step has been at it for a while."""

import asyncio
from typing import TYPE_CHECKING

from pg_durable.engine.waits import NEVER
from pg_durable.graph.outcomes import Leaf
from pg_durable.records import Saving

if TYPE_CHECKING:
    from pg_durable.engine.run import Run


class ShownWhenSlow:
    """Has the rows of a leaf, and of the nodes around it, say `running` after a moment."""

    def __init__(self, run: "Run") -> None:
        self._run = run
        self._loop = asyncio.get_running_loop()
        self._after = run.context.settings.show_running_after
        self._leaf: Leaf | None = None
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, leaf: Leaf) -> None:
        """The leaf begins; what was shown before it is over."""
        self._leaf = leaf
        now = self._loop.time()
        self._due = now + self._after
        if now > self._run.shown_from:
            self._run.show()
        if self._timer is None:  # one serves all leaves of a chain, most of which are fast
            self._timer = self._loop.call_at(self._due, self._look)

    def end(self) -> None:
        """The leaf is over: from here on its rows belong to the commit that records it."""
        self._leaf = None

    def close(self) -> None:
        """No leaf follows."""
        self.end()
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        self._timer = None
        if self._leaf is None:
            return
        if self._loop.time() < self._due:
            self._timer = self._loop.call_at(self._due, self._look)
        else:
            self._show(self._leaf)

    def _show(self, leaf: Leaf) -> None:
        run = self._run
        if not run.walk.lost(leaf):
            run.shown_from = NEVER
            running = run.with_ancestors([leaf.node.id])
            run.context.saver.save(Saving(instance=run.claimed.id, running=running))
