"""What a run does about its waits: begins them, ends them, gives them signals."""

from typing import TYPE_CHECKING

from pg_durable.engine.pace import Clock
from pg_durable.engine.waits import Waits, outcome_at_end, outcome_of_signal
from pg_durable.errors import PgDurableError
from pg_durable.graph.nodes import NodeType
from pg_durable.graph.outcomes import Failed, Leaf, Outcome
from pg_durable.graph.waits import SignalWait

if TYPE_CHECKING:
    from pg_durable.engine.run import Run


class Waiting:
    """The waits of one run, and how they come into its ledger and out of it."""

    def __init__(self, run: "Run", clock: Clock) -> None:
        self.open = Waits()
        self._run = run
        self._clock = clock
        self._taken: set[int] = set()  # signals whose use is not recorded yet

    def rest(self) -> float:
        """In how many seconds the first wait ends."""
        return self.open.next_end() - self._clock.now()

    def begin(self, leaf: Leaf) -> Outcome | None:
        """Begin a wait, or go on with it; the outcome, where there is nothing to wait for."""
        wait, now = leaf.node.wait, self._clock.now()
        if wait is None or leaf.until is not None:
            self.open.add(leaf, leaf.until)
            return None
        try:
            end = wait.end(now)
        except PgDurableError as error:
            return Failed.of(error)
        if isinstance(wait, SignalWait):
            self.open.add(leaf, end, new=True)
            return None
        if end is not None and end <= now and leaf.node.id not in self._run.walk.graph.loops:
            return outcome_at_end(leaf)  # in a loop, it is recorded: or the loop would never let go
        self._run.ledger.enter(leaf.node.id, leaf.generation, end)
        self.open.add(leaf, end)
        return None

    async def end(self) -> None:
        """Go on after the waits whose time has come."""
        run = self._run
        over = self.open.over(self._clock.now())
        if any(isinstance(leaf.node.wait, SignalWait) for leaf in over):
            await self.take_signals()  # one that came in time counts
        for leaf in over:
            if self.open.end(leaf):
                if isinstance(leaf.node.wait, SignalWait):
                    run.ledger.urgent = True
                elif leaf.node.type is NodeType.LOOP:
                    run.ledger.resume(leaf.node.id)
                run.absorb(run.walk.settle(leaf, outcome_at_end(leaf)))

    async def take_signals(self) -> None:
        """Give the signals that are there to the waits for them; register those left over."""
        run = self._run
        self.open.look = False
        if run.ledger.empty:
            self._taken.clear()
        signals = await run.context.saver.store.pending_signals(
            run.claimed.id, self.open.wanted(), self._taken
        )
        for leaf, signal in self.open.match(signals):
            if self.open.end(leaf):
                self._taken.add(signal.id)
                run.ledger.urgent = True
                self.open.look = True  # there may be more for others
                outcome = outcome_of_signal(leaf, signal)
                run.absorb(run.walk.settle(leaf, outcome, {"signal": signal.id}))
        self.open.look = self.open.look and bool(self.open.wanted())
        for leaf in self.open.registered():
            assert isinstance(leaf.node.wait, SignalWait)
            run.ledger.enter(leaf.node.id, leaf.generation, leaf.node.wait.end(self._clock.now()))
