"""One claimed instance: run its leaves, record their outcomes, park or finish it."""

import asyncio
import logging

from pg_durable.engine.chain import Outraced
from pg_durable.engine.context import Context
from pg_durable.engine.giving_back import come_again, let_go
from pg_durable.engine.leaves import Leaves
from pg_durable.engine.ledger import Ledger
from pg_durable.engine.loading import load
from pg_durable.engine.pace import Clock, LoopPace
from pg_durable.engine.requests import NoPlace
from pg_durable.engine.waiting import Waiting
from pg_durable.engine.waits import NEVER
from pg_durable.errors import LeaseLost, PgDurableError, ServerUnavailable
from pg_durable.graph.idempotency import idempotency_key
from pg_durable.graph.nodes import REQUESTS, NodeType
from pg_durable.graph.outcomes import Failed, Leaf, Outcome, Progress
from pg_durable.graph.walk import Walk
from pg_durable.lanes.session import Statement
from pg_durable.records import Claimed, Saving
from pg_durable.steps.sql import RunAgain, statement_of
from pg_durable.store import StoreError
from pg_durable.wire import ConnectionLost

log = logging.getLogger(__name__)

_CLAIM_GONE = "the claim on this instance is gone"
_LONGEST_WAIT = 3600.0


class Run:
    """Drives one instance until it is finished, parked, given back or lost."""

    def __init__(self, claimed: Claimed, context: Context) -> None:
        self.claimed = claimed
        self.context = context
        self.variables = {
            **claimed.variables,
            "sys_instance_id": claimed.id,
            "sys_label": claimed.label or "",
        }
        self.walk: Walk
        self.ledger = Ledger()
        self.parked_for = NEVER  # seconds until the instance is due again
        self.broken = False  # a commit failed: what rests on it in memory is void
        # When the instance's row is to say that it runs; NEVER once it does.
        self.shown_from = asyncio.get_running_loop().time() + context.settings.show_running_after
        self._clock = Clock(claimed.clock)
        self._ready: list[Leaf] = []  # leaves to run now
        self._waiting = Waiting(self, self._clock)
        self._leaves = Leaves(self)
        self._outcome: Outcome | None = None
        self._finished = False  # the outcome is recorded
        self._running = 0  # leaves running as tasks of their own
        self._held: list[Progress] = []  # to be absorbed when no commit is under way
        self.attempts = claimed.attempts
        self._changed = asyncio.Event()  # something above changed while the run waited

    async def drive(self) -> None:
        """Run to the end, or as far as this worker may. Never raises but for ConnectionLost
        of the worker's own sessions and for cancellation."""
        try:
            await self._drive()
        except* (LeaseLost, RunAgain, ConnectionLost, ServerUnavailable) as outage:
            # Without the claim, giving back changes nothing; with it, somebody must go on.
            await let_go(self, _first(outage))
        except* NoPlace:
            await come_again(self)
        except* Exception as bug:
            await let_go(self, _first(bug), bug)

    def close(self) -> None:
        """Break the circles with what refers back to this run, so that all of it is freed at once:
        leaving that to the garbage collector took a twelfth of a worker's time."""
        del self._waiting, self._leaves

    async def _drive(self) -> None:
        claimed = self.claimed
        if claimed.refusal is not None:
            await self._record(Saving(instance=claimed.id, then="failed", output=claimed.refusal))
            return
        try:
            graph, rows = await load(claimed, self.context.saver.store)
            settings = self.context.settings
            pace = LoopPace(graph, self._clock, settings.loop_min_interval)
            self.walk = Walk(
                graph,
                rows,
                self.variables,
                pace,
                settings.max_loop_iterations,
                settings.max_result_bytes,
            )
            self.absorb(self.walk.begin())
        except (StoreError, ConnectionLost):
            raise  # says nothing of the rows
        except Exception as error:
            await self._fail_unread(error)
            return
        parked = await self._run_leaves(None)
        if parked is None:
            async with asyncio.TaskGroup() as branches:
                parked = await self._run_leaves(branches)
        if parked:
            await self._save(then="park")
            self.parked_for = max(self._waiting.rest(), 0.0)
        elif not self._finished:
            failed = self._outcome if isinstance(self._outcome, Failed) else None
            await self._save(
                then="failed" if failed else "completed",
                output=failed.message if failed else None,
            )

    async def _fail_unread(self, error: Exception) -> None:
        """The graph or its rows are none that can be walked, and no other try would change that."""
        reason = str(error)
        if not isinstance(error, PgDurableError):
            log.error("the rows of instance %s cannot be read", self.claimed.id, exc_info=error)
            reason = f"The rows of instance {self.claimed.id} cannot be read: {error!r}"
        await self._record(Saving(instance=self.claimed.id, then="failed", output=reason))

    async def _run_leaves(self, branches: asyncio.TaskGroup | None) -> bool | None:
        """Run leaves and wait, until all is settled (False) or only long waits remain (True); or
        there are branches to be run, and no group for them (None): few instances need one."""
        while True:
            if self.context.stopping and self._outcome is None:
                await self._record_outside()
                raise RunAgain("the worker stops")
            self.absorb_held()
            if self._waiting.open.look:
                await self._waiting.take_signals()
            if self.ledger.pressing and self._outcome is None:  # else the end takes it along
                await self._save()
                continue  # what was settled meanwhile comes first
            if len(self._ready) == 1 and self.has_one_leaf:
                self._leaves.refuse_without_place(self._ready[0])
                self.absorb(await self._leaves.run(self._ready.pop()))  # the common case: no task
                continue
            for leaf in self._ready:
                if branches is None:
                    return None
                self._running += 1
                branches.create_task(self._branch(leaf))
            self._ready.clear()
            if not self._waiting.open and not self._running and not self._held:
                return False

            rest = self._waiting.rest()
            if not self._running and not self._held and rest > self.context.settings.park_after:
                return True
            await self._change(rest)
            await self._waiting.end()

    async def _record_outside(self) -> None:
        """What takes effect outside the worker's database is done again unless it is recorded."""
        while self._leaves.outside:
            await self._changed.wait()
            self._changed.clear()
        if self.ledger.urgent:
            await self._save()

    @property
    def has_one_leaf(self) -> bool:
        """Whether one leaf is run, and nothing else goes on beside it."""
        return not (self._running or self._waiting.open or self._held)

    def absorb_held(self) -> None:
        """Go on with what was held, now that all it rests on is committed."""
        if self._held and not (self.ledger.committing or self.ledger.saving):
            held, self._held = self._held, []
            for progress in held:
                self.absorb(progress)

    async def _branch(self, leaf: Leaf) -> None:
        try:
            self.absorb(await self._leaves.run(leaf))
        except Outraced as lost:
            log.debug("instance %s: %s", self.claimed.id, lost)
        finally:
            self._running -= 1
            self._changed.set()

    async def _change(self, timeout: float) -> None:
        """Wait for something to change, and look for signals every now and then: nothing may
        rest on a notification alone."""
        wanted = bool(self._waiting.open.wanted())
        if wanted:
            timeout = min(timeout, self.context.settings.poll_interval)
        try:
            async with asyncio.timeout(min(max(timeout, 0), _LONGEST_WAIT)):
                await self._changed.wait()
        except TimeoutError:
            self._waiting.open.look = wanted
        self._changed.clear()

    def absorb(self, progress: Progress) -> None:
        """Take in what came of an outcome: leaves to run, waits to begin, the end."""
        pending = [progress]
        while pending:
            progress = pending.pop(0)  # in the order in which they were settled
            self.stop(progress.losers)
            progress.losers = set()  # once: the rows of the losers are in the ledger from now on
            self.ledger.note(progress)
            if progress.changes:
                self._held.append(progress)  # it goes on when what it rests on is committed
                continue
            if progress.outcome is not None:
                self._outcome = progress.outcome
            for leaf in progress.leaves:
                if self.walk.lost(leaf):
                    continue  # since this progress was held
                if leaf.node.type is NodeType.SQL or leaf.node.type in REQUESTS:
                    self._ready.append(leaf)
                elif (outcome := self._waiting.begin(leaf)) is not None:
                    pending.append(self.walk.settle(leaf, outcome))

    def stop(self, losers: set[str]) -> None:
        """Let go of what lost a race: leaves to run, waits, statements and requests under way."""
        if not losers:
            return
        self._ready = [leaf for leaf in self._ready if leaf.node.id not in losers]
        self.ledger.drop(losers)
        self._waiting.open.drop(losers)
        self._leaves.stop(losers)

    def show(self) -> "asyncio.Future[bool]":
        """Have the instance's row say that it runs."""
        self.shown_from = NEVER
        return self.context.saver.save(Saving(instance=self.claimed.id))

    def look_for_signals(self) -> None:
        """Somebody says that there is one."""
        self._waiting.open.look = True
        self._changed.set()

    def statement_of(self, leaf: Leaf) -> Statement:
        """A leaf's statement, with names and variables filled in."""
        text = statement_of(leaf, self.variables, self.context.settings.max_result_bytes)
        return Statement(text, idempotency_key(self.claimed.id, leaf.node.id, leaf.generation))

    async def check_claim(self) -> None:
        """Raise LeaseLost if the instance was cancelled or taken over."""
        if await self.context.saver.store.lost(self.context.worker, [self.claimed.id]):
            raise LeaseLost(_CLAIM_GONE)

    def landed(self, *, finished: bool) -> None:
        """A checkpoint is committed, and the instance has ended with it or not."""
        self._finished = finished
        self.attempts = 0

    def commit_ended(self) -> None:
        """A checkpoint is not under way any more, whatever became of it."""
        self.ledger.committing -= 1
        self._changed.set()

    async def _save(self, *, then: str | None = None, output: str | None = None) -> None:
        saving = self.ledger.for_save(self.claimed.id, self.walk.graph)
        # One that is over by now may lie in an iteration before the one under way.
        waits = self._waiting.open
        begun = [node for node, generation, _ in saving.waits if waits.has(node, generation)]
        saving.running = self.with_ancestors(begun)
        self.shown_from = NEVER
        saving.then, saving.output = then, output
        self.ledger.saving += 1
        try:
            await self._record(saving)
        finally:
            self.ledger.saving -= 1

    async def _record(self, saving: Saving) -> None:
        if not await self.context.saver.save(saving):
            raise LeaseLost(_CLAIM_GONE)
        if saving.changes:
            self.attempts = 0

    def with_ancestors(self, nodes: list[str]) -> list[tuple[str, int]]:
        """Nodes and those around them in the order of locking, with their generations."""
        graph = self.walk.graph
        ids = {id_ for node in nodes for id_ in (node, *graph.ancestors(node))}
        return [(id_, self.walk.generation(id_)) for id_ in sorted(ids, key=graph.lock_order)]


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
