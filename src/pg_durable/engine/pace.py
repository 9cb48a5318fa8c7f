"""Time as an instance sees it: the server's clock, and how fast loops without a wait may go."""

import asyncio

from pg_durable.graph.loops import needs_pace
from pg_durable.graph.nodes import Graph, Node


class Clock:
    """The server's clock, told at the claim and counted on by this machine's."""

    def __init__(self, server_time: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._ahead = server_time - self._loop.time()

    def now(self) -> float:
        """Seconds since 1970."""
        return self._loop.time() + self._ahead


class LoopPace:
    """Gives each iteration of a loop that nothing else slows down a minimum of time (seconds)."""

    def __init__(self, graph: Graph, clock: Clock, minimum: float) -> None:
        self._graph = graph
        self._clock = clock
        self._minimum = minimum
        self._needed: dict[str, bool] = {}
        self._begun: dict[str, float] = {}

    def begun(self, loop: Node) -> None:
        """See `pg_durable.graph.loops.Pace`."""
        if loop.id not in self._needed:
            self._needed[loop.id] = self._minimum > 0 and needs_pace(self._graph, loop)
        self._begun[loop.id] = self._clock.now()

    def next_at(self, loop: Node) -> float | None:
        """See `pg_durable.graph.loops.Pace`."""
        if not self._needed[loop.id]:
            return None
        end = self._begun[loop.id] + self._minimum
        return end if end > self._clock.now() else None
