"""One claimed instance: run its leaves, record their outcomes, park or finish it."""

import asyncio
import contextlib
import logging
from collections.abc import Mapping

from pg_durable.engine.chain import Chain, Outraced
from pg_durable.engine.context import Context
from pg_durable.engine.elsewhere import StepElsewhere
from pg_durable.engine.ledger import Ledger
from pg_durable.engine.pace import Clock, LoopPace
from pg_durable.engine.requests import NoPlace, Sending
from pg_durable.engine.waits import NEVER, Waits, outcome_at_end, outcome_of_signal
from pg_durable.engine.watch import is_misfit
from pg_durable.errors import (
    LeaseLost,
    LimitExceeded,
    PgDurableError,
    ServerUnavailable,
    StepRefused,
)
from pg_durable.graph.idempotency import idempotency_key
from pg_durable.graph.nodes import REQUESTS, TERMINAL, Graph, LoopRow, NodeType, Row, make_node
from pg_durable.graph.outcomes import Failed, Leaf, Outcome, Progress
from pg_durable.graph.waits import SignalWait
from pg_durable.graph.walk import Walk
from pg_durable.lanes.session import LoginRefused, Statement
from pg_durable.steps.sql import AT_LEAST_ONCE, RunAgain, statement_of
from pg_durable.store import Claimed, Left, Saving, StoreError
from pg_durable.wire import ConnectionLost

log = logging.getLogger(__name__)

_CLAIM_GONE = "the claim on this instance is gone"
_FIRST_DELAY = 0.1
_LONGEST_DELAY = 10.0
_LONGEST_WAIT = 3600.0
_COME_AGAIN = 5.0  # often enough for a queue of requests, and no burden if it is long


class Run:
    """Drives one instance until it is finished, parked, given back or lost."""

    def __init__(self, claimed: Claimed, context: Context) -> None:
        self.claimed = claimed
        self.context = context
        self._loop = asyncio.get_running_loop()
        self._variables = {
            **claimed.variables,
            "sys_instance_id": claimed.id,
            "sys_label": claimed.label or "",
        }
        self.walk: Walk
        self.ledger = Ledger()
        self.parked_for = NEVER  # seconds until the instance is due again
        self.broken = False  # a commit failed: what rests on it in memory is void
        self._clock = Clock(claimed.clock)
        self._ready: list[Leaf] = []  # leaves to run now
        self._waits = Waits()
        self._taken: set[int] = set()  # signals whose use is not recorded yet
        self._outcome: Outcome | None = None
        self._finished = False  # the outcome is recorded
        self._running = 0  # leaves running as tasks of their own
        # Where steps run, if not in the worker's own database.
        self._elsewhere = claimed.database if claimed.database != context.database else None
        self._steps: set[Chain | StepElsewhere | Sending] = set()
        self._requesting = False
        self._held: list[Progress] = []  # to be absorbed when no commit is under way
        self._attempts = claimed.attempts
        self._changed = asyncio.Event()  # something above changed while the run waited

    async def drive(self) -> None:
        """Run to the end, or as far as this worker may. Never raises but for ConnectionLost
        of the worker's own sessions and for cancellation."""
        try:
            await self._drive()
        except* (LeaseLost, RunAgain, ConnectionLost, ServerUnavailable) as outage:
            # Without the claim, giving back changes nothing; with it, somebody must go on.
            await self._let_go(_first(outage))
        except* NoPlace:
            await self._come_again()
        except* Exception as bug:
            await self._let_go(_first(bug), bug)

    async def _drive(self) -> None:
        claimed = self.claimed
        if claimed.refusal is not None:
            await self._record(Saving(instance=claimed.id, then="failed", output=claimed.refusal))
            return
        try:
            graph, rows = _load(claimed, await self._left())
            settings = self.context.settings
            pace = LoopPace(graph, self._clock, settings.loop_min_interval)
            self.walk = Walk(
                graph,
                rows,
                self._variables,
                pace,
                settings.max_loop_iterations,
                settings.max_result_bytes,
            )
            self._absorb(self.walk.begin())
        except PgDurableError as error:
            await self._record(Saving(instance=claimed.id, then="failed", output=str(error)))
            return
        async with asyncio.TaskGroup() as branches:
            parked = await self._run_leaves(branches)
        if parked:
            await self._save(then="park")
            self.parked_for = max(self._waits.next_end() - self._clock.now(), 0.0)
        elif not self._finished:
            failed = isinstance(self._outcome, Failed)
            await self._save(
                then="failed" if failed else "completed",
                output=self._outcome.message if isinstance(self._outcome, Failed) else None,
            )

    async def _left(self) -> dict[str, Left]:
        """What nodes that ended and loops have left; where there are none, nothing is fetched."""
        if not any(row[_STATUS] in TERMINAL or row[_LOOP] for row in self.claimed.nodes):
            return {}
        return await self.context.saver.store.left_by_nodes(self.claimed.id)

    async def _run_leaves(self, branches: asyncio.TaskGroup) -> bool:
        """Run leaves and wait, until all is settled (False) or only long waits remain (True)."""
        while True:
            if self.context.stopping and self._outcome is None:
                await self._record_outside()
                raise RunAgain("the worker stops")
            self.absorb_held()
            if self._waits.look:
                await self._take_signals()
            if self.ledger.pressing and self._outcome is None:  # else the end takes it along
                await self._save()
                continue  # what was settled meanwhile comes first
            if len(self._ready) == 1 and not self._running and not self._waits:
                self._refuse_without_place(self._ready[0])
                self._absorb(await self._step(self._ready.pop()))  # the common case: no task
                continue
            for leaf in self._ready:
                self._running += 1
                branches.create_task(self._branch(leaf))
            self._ready.clear()
            if not self._waits and not self._running and not self._held:
                return False

            rest = self._waits.next_end() - self._clock.now()
            if not self._running and not self._held and rest > self.context.settings.park_after:
                return True
            await self._change(rest)
            await self._end_waits()

    async def _record_outside(self) -> None:
        """What takes effect outside the worker's database is done again unless it is recorded."""
        while any(isinstance(step, StepElsewhere | Sending) for step in self._steps):
            await self._changed.wait()
            self._changed.clear()
        if self.ledger.urgent:
            await self._save()

    def _refuse_without_place(self, leaf: Leaf) -> None:
        """Rather than holding an instance that would only queue for a request, let go of it."""
        if leaf.node.type in REQUESTS and self.context.http.places.full(self.claimed.role):
            raise NoPlace("as many requests are under way as may be")

    def absorb_held(self) -> None:
        """Go on with what was held, now that all it rests on is committed."""
        if self._held and not (self.ledger.committing or self.ledger.saving):
            held, self._held = self._held, []
            for progress in held:
                self._absorb(progress)

    async def _branch(self, leaf: Leaf) -> None:
        try:
            self._absorb(await self._step(leaf))
        except Outraced as lost:
            log.debug("instance %s: %s", self.claimed.id, lost)
        finally:
            self._running -= 1
            self._changed.set()

    async def _change(self, timeout: float) -> None:
        """Wait for something to change, and look for signals every now and then: nothing may
        rest on a notification alone."""
        wanted = bool(self._waits.wanted())
        if wanted:
            timeout = min(timeout, self.context.settings.poll_interval)
        try:
            async with asyncio.timeout(min(max(timeout, 0), _LONGEST_WAIT)):
                await self._changed.wait()
        except TimeoutError:
            self._waits.look = wanted
        self._changed.clear()

    def _absorb(self, progress: Progress) -> None:
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
                elif (outcome := self._begin_wait(leaf)) is not None:
                    pending.append(self.walk.settle(leaf, outcome))

    def stop(self, losers: set[str]) -> None:
        """Let go of what lost a race: leaves to run, waits, statements and requests under way."""
        if not losers:
            return
        self._ready = [leaf for leaf in self._ready if leaf.node.id not in losers]
        self.ledger.drop(losers)
        self._waits.drop(losers)
        for step in self._steps:
            if step.leaf.node.id in losers and step.task is not None:
                step.task.cancel()

    # --- waits

    def _begin_wait(self, leaf: Leaf) -> Outcome | None:
        """Begin a wait, or go on with it; the outcome, where there is nothing to wait for."""
        wait, now = leaf.node.wait, self._clock.now()
        if wait is None or leaf.until is not None:
            self._waits.add(leaf, leaf.until)
            return None
        try:
            end = wait.end(now)
        except PgDurableError as error:
            return Failed.of(error)
        if isinstance(wait, SignalWait):
            self._waits.add(leaf, end, new=True)
            return None
        if end is not None and end <= now and leaf.node.id not in self.walk.graph.loops:
            return outcome_at_end(leaf)  # in a loop, it is recorded: or the loop would never let go
        self.ledger.enter(leaf.node.id, leaf.generation, end)
        self._waits.add(leaf, end)
        return None

    async def _end_waits(self) -> None:
        over = self._waits.over(self._clock.now())
        if any(isinstance(leaf.node.wait, SignalWait) for leaf in over):
            await self._take_signals()  # one that came in time counts
        for leaf in over:
            if self._waits.end(leaf):
                if isinstance(leaf.node.wait, SignalWait):
                    self.ledger.urgent = True
                elif leaf.node.type is NodeType.LOOP:
                    self.ledger.resume(leaf.node.id)
                self._absorb(self.walk.settle(leaf, outcome_at_end(leaf)))

    def look_for_signals(self) -> None:
        """Somebody says that there is one."""
        self._waits.look = True
        self._changed.set()

    async def _take_signals(self) -> None:
        """Give the signals that are there to the waits for them; register those left over."""
        self._waits.look = False
        if self.ledger.empty:
            self._taken.clear()
        signals = await self.context.saver.store.pending_signals(
            self.claimed.id, self._waits.wanted(), self._taken
        )
        for leaf, signal in self._waits.match(signals):
            if self._waits.end(leaf):
                self._taken.add(signal.id)
                self.ledger.urgent = True
                self._waits.look = True  # there may be more for others
                outcome = outcome_of_signal(leaf, signal)
                self._absorb(self.walk.settle(leaf, outcome, {"signal": signal.id}))
        self._waits.look = self._waits.look and bool(self._waits.wanted())
        for leaf in self._waits.registered():
            assert isinstance(leaf.node.wait, SignalWait)
            self.ledger.enter(leaf.node.id, leaf.generation, leaf.node.wait.end(self._clock.now()))

    async def _step(self, leaf: Leaf) -> Progress:
        """Run a leaf; what it led to."""
        if leaf.node.type in REQUESTS:
            return await self._request(leaf)
        return await self._chain(leaf)

    async def _request(self, leaf: Leaf) -> Progress:
        """Send a request; what it led to, which is recorded before anything rests on it."""
        sending = Sending(self, leaf)
        self._steps.add(sending)
        self._count_requests()
        try:
            outcome, sent = await sending.run(self._variables)
        finally:
            self._steps.discard(sending)
            self._count_requests()
        self.ledger.urgent = True
        return self.walk.settle(leaf, outcome, AT_LEAST_ONCE if sent else None)

    def _count_requests(self) -> None:
        """Tell whether this run waits for nothing but requests."""
        only = bool(self._steps) and all(isinstance(step, Sending) for step in self._steps)
        self.context.http.count(only - self._requesting)
        self._requesting = only

    async def _chain(self, leaf: Leaf) -> Progress:
        """Run an SQL leaf and those of its chain; what the last one led to, recorded already."""
        try:
            statement = self.statement_of(leaf)
        except PgDurableError as error:
            return self.walk.settle(leaf, Failed.of(error))
        elsewhere = self._elsewhere
        step = Chain(self, leaf) if elsewhere is None else StepElsewhere(self, leaf, elsewhere)
        self._steps.add(step)
        self._count_requests()
        try:
            return await step.run(statement)
        except (LimitExceeded, StepRefused) as error:
            return self.walk.settle(step.leaf, Failed.of(error))
        except LoginRefused as error:
            await self._check_name()
            return self.walk.settle(step.leaf, self._login_failure(error))
        finally:
            self._steps.discard(step)
            self._count_requests()

    def statement_of(self, leaf: Leaf) -> Statement:
        """A leaf's statement, with names and variables filled in."""
        text = statement_of(leaf, self._variables, self.context.settings.max_result_bytes)
        return Statement(text, idempotency_key(self.claimed.id, leaf.node.id, leaf.generation))

    async def check_claim(self) -> None:
        """Raise LeaseLost if the instance was cancelled or taken over."""
        if await self.context.saver.store.lost(self.context.worker, [self.claimed.id]):
            raise LeaseLost(_CLAIM_GONE)

    def landed(self, *, finished: bool) -> None:
        """A checkpoint is committed, and the instance has ended with it or not."""
        self._finished = finished
        self._attempts = 0

    def commit_ended(self) -> None:
        """A checkpoint is not under way any more, whatever became of it."""
        self.ledger.committing -= 1
        self._changed.set()

    async def _check_name(self) -> None:
        """Walk again where the role was renamed since the claim: it is the new name that counts."""
        name = await self.context.saver.store.submitter(self.claimed.id)
        if name not in (None, self.claimed.role):
            raise RunAgain(f"role {self.claimed.role} is called {name} now")

    def _login_failure(self, error: LoginRefused) -> Failed:
        database = self._elsewhere or self.context.database
        return Failed(
            f"Failed to connect to database '{database}' as '{self.claimed.role}'. Error: {error}",
            {"sqlstate": ServerUnavailable.sqlstate},
        )

    async def _save(self, *, then: str | None = None, output: str | None = None) -> None:
        saving = self.ledger.for_save(self.claimed.id, self.walk.graph)
        # One that is over by now may lie in an iteration before the one under way.
        begun = [node for node, generation, _ in saving.waits if self._waits.has(node, generation)]
        saving.running = self.with_ancestors(begun)
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
            self._attempts = 0

    def with_ancestors(self, nodes: list[str]) -> list[tuple[str, int]]:
        """Nodes and those around them in the order of locking, with their generations."""
        graph = self.walk.graph
        ids = {id_ for node in nodes for id_ in (node, *graph.ancestors(node))}
        return [(id_, self.walk.generation(id_)) for id_ in sorted(ids, key=graph.lock_order)]

    async def _let_go(self, reason: BaseException, bug: Exception | None = None) -> None:
        if is_misfit(reason) and not await self.context.watch.fits():
            return  # nothing of this instance's: it is taken over by who can
        if bug is not None and not _passes(reason):
            log.error("instance %s cannot be driven", self.claimed.id, exc_info=bug)
        await self._give_back(reason)

    async def _come_again(self) -> None:
        """Let go of the instance for a while, through no fault of its own."""
        saving = Saving(instance=self.claimed.id, then="release", attempts=self._attempts)
        saving.delay = _COME_AGAIN
        with contextlib.suppress(ConnectionLost, StoreError):
            await self.context.saver.save(saving)

    async def _give_back(self, reason: BaseException) -> None:
        """Let go of the instance, to be walked again after a pause; or fail it when it was
        given back too often in a row for reasons that lie in its steps."""
        attempts = 0 if self.context.stopping else self._attempts + 1
        saving = Saving(instance=self.claimed.id, then="release", attempts=attempts)
        if _passes(reason):
            saving.attempts = min(attempts, self.context.settings.max_attempts - 1)
        elif attempts >= self.context.settings.max_attempts:
            saving.then = "failed"
            saving.output = f"given up after {attempts} attempts in a row: {reason}"
        if not self.context.stopping:
            saving.delay = min(_FIRST_DELAY * 2 ** min(attempts, 10), _LONGEST_DELAY)
            log.debug("instance %s: %s", self.claimed.id, saving.output or reason)
        # Without a session of the worker's own, the next one takes the instance over.
        with contextlib.suppress(ConnectionLost, StoreError):
            await self.context.saver.save(saving)


_STATUS, _LOOP = 6, 9  # where a claimed node's status and the state of a loop stand


def _load(claimed: Claimed, left: Mapping[str, Left]) -> tuple[Graph, dict[str, Row]]:
    nodes = []
    rows = {}
    for id_, kind, query, name, before, after, status, generation, until, loop in claimed.nodes:
        nodes.append(make_node(id_, kind, query, name, before, after))
        remains = left.get(id_, _NOTHING)
        state = None if loop is None else LoopRow(loop[0], loop[1], loop[2], remains.names)
        rows[id_] = Row(status, generation, remains.result, until, remains.details, state)
    return Graph.of(claimed.root, nodes), rows


_NOTHING = Left(None, None, None)


def _passes(reason: BaseException) -> bool:
    """Whether it lies in the server, which will be well again."""
    return isinstance(reason, ServerUnavailable) or (
        isinstance(reason, StoreError) and reason.passes
    )


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
