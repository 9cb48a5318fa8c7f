"""One claimed instance: run its leaves, record their outcomes, park or finish it."""

import asyncio
import contextlib
import logging
from collections.abc import Mapping

from pg_durable.engine.chain import Chain, Outraced
from pg_durable.engine.context import Context
from pg_durable.errors import (
    LeaseLost,
    LimitExceeded,
    PgDurableError,
    ServerUnavailable,
    StepRefused,
)
from pg_durable.graph.nodes import TERMINAL, Graph, NodeType, Row, make_node
from pg_durable.graph.outcomes import Change, Failed, Leaf, Outcome, Progress
from pg_durable.graph.walk import Walk
from pg_durable.lanes.pool import LoginRefused
from pg_durable.steps.sleep import seconds_of, slept
from pg_durable.steps.sql import RunAgain, failure_of, statement_of
from pg_durable.store import Claimed, Saving, StoreError
from pg_durable.wire import ConnectionLost

log = logging.getLogger(__name__)

_FIRST_DELAY = 0.1
_LONGEST_DELAY = 10.0


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
        self._ready: list[Leaf] = []  # SQL leaves to run now
        self._waits: dict[str, tuple[Leaf, float]] = {}  # by node: the leaf and when it is due
        self._entered: list[tuple[str, int, float]] = []  # waits the rows do not know yet
        self._unsaved: list[Change] = []  # settled, to be recorded with the next commit
        self._outcome: Outcome | None = None
        self._finished = False  # the outcome is recorded
        self._running = 0  # SQL leaves running as tasks of their own
        self._chains: set[Chain] = set()
        self._held: list[Progress] = []  # to be absorbed when no commit is under way
        self._attempts = claimed.attempts
        self.committing = 0  # checkpoints under way
        self._changed = asyncio.Event()  # something above changed while the run waited

    async def drive(self) -> None:
        """Run to the end, or as far as this worker may. Never raises but for ConnectionLost
        of the worker's own sessions and for cancellation."""
        try:
            await self._drive()
        except* (LeaseLost, RunAgain, ConnectionLost, ServerUnavailable) as outage:
            # Without the claim, giving back changes nothing; with it, somebody must go on.
            await self._give_back(_first(outage))
        except* Exception as bug:
            log.error("instance %s cannot be driven", self.claimed.id, exc_info=bug)
            await self._give_back(_first(bug))

    async def _drive(self) -> None:
        claimed = self.claimed
        if claimed.refusal is not None:
            await self._save(then="failed", output=claimed.refusal)
            return
        try:
            self.walk = Walk(*_load(claimed, await self._results()))
            self._absorb(self.walk.begin())
        except PgDurableError as error:
            await self._save(then="failed", output=str(error))
            return
        async with asyncio.TaskGroup() as branches:
            parked = await self._run_leaves(branches)
        if parked:
            await self._save(then="park")
        elif not self._finished:
            failed = isinstance(self._outcome, Failed)
            await self._save(
                then="failed" if failed else "completed",
                output=self._outcome.message if isinstance(self._outcome, Failed) else None,
            )

    async def _results(self) -> dict[str, str]:
        """The results of nodes that are finished already, by node; none: nothing is fetched."""
        if not any(row[_STATUS] in TERMINAL for row in self.claimed.nodes):
            return {}
        return await self.context.saver.store.results(self.claimed.id)

    async def _run_leaves(self, branches: asyncio.TaskGroup) -> bool:
        """Run leaves and wait, until all is settled (False) or only long waits remain (True)."""
        while True:
            if self.context.stopping:
                raise RunAgain("the worker stops")
            if self._held and not self.committing:
                held, self._held = self._held, []
                for progress in held:
                    self._absorb(progress)
            if len(self._ready) == 1 and not self._running and not self._waits:
                self._absorb(await self._step(self._ready.pop()))  # the common case: no task
                continue
            for leaf in self._ready:
                self._running += 1
                branches.create_task(self._branch(leaf))
            self._ready.clear()
            if not self._waits and not self._running and not self._held:
                return False

            due = min((due for _, due in self._waits.values()), default=float("inf"))
            rest = due - self._loop.time()
            if not self._running and not self._held and rest > self.context.settings.park_after:
                return True
            if self._entered:
                await self._save()
            await self._change(rest)
            self._end_waits()

    async def _branch(self, leaf: Leaf) -> None:
        try:
            self._absorb(await self._step(leaf))
        except Outraced as lost:
            log.debug("instance %s: %s", self.claimed.id, lost)
        finally:
            self._running -= 1
            self._changed.set()

    async def _change(self, timeout: float) -> None:
        try:
            async with asyncio.timeout(max(timeout, 0) if timeout < float("inf") else None):
                await self._changed.wait()
        except TimeoutError:
            pass
        self._changed.clear()

    def _absorb(self, progress: Progress) -> None:
        """Take in what came of an outcome: leaves to run, waits to begin, the end."""
        pending = [progress]
        while pending:
            progress = pending.pop()
            self.stop(progress.losers)
            self._unsaved.extend(progress.changes)
            progress.changes = []
            if progress.joined and self.committing:
                self._held.append(progress)  # it goes on when what it rests on is committed
                continue
            if progress.outcome is not None:
                self._outcome = progress.outcome
            for leaf in progress.leaves:
                if self.walk.lost(leaf):
                    continue  # since this progress was held
                if leaf.node.type is NodeType.SQL:
                    self._ready.append(leaf)
                elif (rest := self._rest_of(leaf)) <= 0:
                    pending.append(self.walk.settle(leaf, slept(leaf)))
                else:
                    self._waits[leaf.node.id] = (leaf, self._loop.time() + rest)

    def stop(self, losers: set[str]) -> None:
        """Let go of what lost a race: leaves to run, waits, statements that are running."""
        if not losers:
            return
        self._ready = [leaf for leaf in self._ready if leaf.node.id not in losers]
        self._entered = [wait for wait in self._entered if wait[0] not in losers]
        self._unsaved = [change for change in self._unsaved if change.node not in losers]
        for node in losers & self._waits.keys():
            del self._waits[node]
        for chain in self._chains:
            if chain.leaf.node.id in losers and chain.task is not None:
                chain.task.cancel()

    def _rest_of(self, leaf: Leaf) -> float:
        if leaf.remaining is not None:
            return leaf.remaining
        seconds = float(seconds_of(leaf))
        if seconds > 0:
            self._entered.append((leaf.node.id, leaf.generation, seconds))
        return seconds

    def _end_waits(self) -> None:
        now = self._loop.time()
        for node, (leaf, due) in list(self._waits.items()):
            if due <= now and self._waits.pop(node, None) is not None:
                self._absorb(self.walk.settle(leaf, slept(leaf)))

    async def _step(self, leaf: Leaf) -> Progress:
        """Run an SQL leaf and those of its chain; what the last one led to, recorded already."""
        try:
            statement = self.statement_of(leaf)
        except PgDurableError as error:
            return self.walk.settle(leaf, failure_of(error))
        chain = Chain(self, leaf)
        self._chains.add(chain)
        try:
            return await chain.run(statement)
        except (LimitExceeded, StepRefused) as error:
            return self.walk.settle(chain.leaf, failure_of(error))
        except LoginRefused as error:
            return self.walk.settle(chain.leaf, self._login_failure(error))
        finally:
            self._chains.discard(chain)

    def statement_of(self, leaf: Leaf) -> str:
        """The text of a leaf's statement, with names and variables filled in."""
        return statement_of(leaf, self._variables, self.context.settings.max_result_bytes)

    def to_record_now(self, progress: Progress) -> list[Change]:
        """What a checkpoint may record; what it may not yet stays in the progress.

        While commits of siblings are under way, nothing that rests on their outcomes: they may
        still roll back. Waiting for them here, in an open transaction, could be a deadlock that
        the server cannot see.
        """
        changes = progress.changes
        if self.committing:
            own = progress.own if progress.joined else len(changes)
            progress.changes = changes[own:]
            return changes[:own]
        progress.changes = []
        unsaved, self._unsaved = self._unsaved, []
        return [*changes, *unsaved]

    def landed(self, progress: Progress) -> None:
        """A checkpoint is committed."""
        self._finished = progress.outcome is not None and not progress.changes
        self._attempts = 0

    def commit_ended(self) -> None:
        """A checkpoint is not under way any more, whatever became of it."""
        self.committing -= 1
        self._changed.set()

    def _login_failure(self, error: LoginRefused) -> Failed:
        database = self.claimed.database or "(the worker's)"
        return Failed(
            f"Failed to connect to database '{database}' as '{self.claimed.role}'. Error: {error}",
            {"sqlstate": ServerUnavailable.sqlstate},
        )

    async def _save(self, *, then: str | None = None, output: str | None = None) -> None:
        running: dict[str, None] = {}
        for node in self._waits:
            running |= dict.fromkeys(self.walk.ancestors(node))
        saving = Saving(
            instance=self.claimed.id,
            changes=self._unsaved,
            waits=self._entered,
            running=list(running),
            then=then,
            output=output,
        )
        self._unsaved, self._entered = [], []
        if not await self.context.saver.save(saving):
            raise LeaseLost("the claim on this instance is gone")

    async def _give_back(self, reason: BaseException) -> None:
        """Let go of the instance, to be walked again after a pause; or fail it when it was
        given back too often in a row for reasons that lie in its steps."""
        attempts = 0 if self.context.stopping else self._attempts + 1
        saving = Saving(instance=self.claimed.id, then="release", attempts=attempts)
        if isinstance(reason, ServerUnavailable):
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


_STATUS = 6  # where a claimed node's status stands


def _load(claimed: Claimed, results: Mapping[str, str]) -> tuple[Graph, dict[str, Row]]:
    nodes = []
    rows = {}
    for id_, kind, query, name, left, right, status, generation, remaining in claimed.nodes:
        nodes.append(make_node(id_, kind, query, name, left, right))
        rows[id_] = Row(status, generation, results.get(id_), remaining)
    return Graph.of(claimed.root, nodes), rows


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
