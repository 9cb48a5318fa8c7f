"""Slow steps show: a row says `running` when its step has been at it for a while."""

import asyncio
from typing import TYPE_CHECKING

from pg_durable.graph.outcomes import Leaf
from pg_durable.records import Saving

if TYPE_CHECKING:
    from pg_durable.engine.run import Run


class ShownWhenSlow:
    """Has the rows of a leaf, and of the nodes around it, say `running` after a moment."""

    def __init__(self, run: "Run") -> None:
        self._run = run
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, leaf: Leaf) -> None:
        """The leaf begins; what was shown before it is over."""
        self.end()
        self._timer = asyncio.get_running_loop().call_later(
            self._run.context.settings.show_running_after, self._show, leaf
        )

    def end(self) -> None:
        """The leaf is over: from here on its rows belong to the commit that records it."""
        if self._timer is not None:
            self._timer.cancel()

    def _show(self, leaf: Leaf) -> None:
        run = self._run
        if not run.walk.lost(leaf):
            running = run.with_ancestors([leaf.node.id])
            run.context.saver.save(Saving(instance=run.claimed.id, running=running))
