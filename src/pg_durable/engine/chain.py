"""SQL steps one after another on one lane: each checkpoint takes the next statement along."""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pg_durable.engine.slow import ShownWhenSlow
from pg_durable.engine.waits import NEVER
from pg_durable.errors import PgDurableError
from pg_durable.graph.nodes import NodeType
from pg_durable.graph.outcomes import Change, Leaf, Outcome, Progress
from pg_durable.lanes.lane import Lane
from pg_durable.lanes.session import Statement
from pg_durable.lanes.slots import Waiter
from pg_durable.records import Checkpoint
from pg_durable.steps.sql import RunAgain, run_sql_steps

if TYPE_CHECKING:
    from pg_durable.engine.run import Run


class Outraced(Exception):
    """The other branch of a race has finished first; what this one did is rolled back."""


class Chain:
    """Runs a leaf, and while nothing else comes of it than one SQL leaf, that one after it.

    For no longer than a time slice: then the lane goes to whoever waits for one.
    """

    def __init__(self, run: "Run", leaf: Leaf) -> None:
        self.leaf = leaf
        self.watched = not run.has_one_leaf
        self._run = run
        self._loop = asyncio.get_running_loop()
        self._progress = Progress()
        self._lane: Lane | None = None  # until another instance has taken it over
        self._following: Leaf | None = None
        self._until = 0.0
        self._slow: ShownWhenSlow | None = None
        self._committing = False
        self._finishes = False
        self.task = asyncio.current_task()

    async def run(self, statement: Statement) -> Progress:
        """Run to the end of the chain; what the last step led to, recorded already.

        Raises:
            Outraced: the chain lost a race.
        """
        claimed, context = self._run.claimed, self._run.context
        lane = self._lane = await context.pool.acquire(claimed.role, None, statement)
        if context.stopping and lane.begun is None:
            context.pool.release(lane, claimed.role, None)
            raise RunAgain("the worker stops")
        self._until = self._loop.time() + context.settings.time_slice
        lane.careful = claimed.attempts > 0
        try:
            if lane.sees_commits:
                self._slow = ShownWhenSlow(self._run)
                self._begin_leaf(self.leaf)
            elif self._run.shown_from != NEVER:
                await self._run.show()  # now or never
            await run_sql_steps(lane, statement, self)
        except BaseException as error:
            if self._committing and not isinstance(error, asyncio.CancelledError | Outraced):
                self._run.broken = True
            if self._lane is not None:
                lane.reusable = False  # whatever it was doing is rolled back by its end
            raise
        finally:
            if self._slow is not None:
                self._slow.close()
            self._commit_ended()  # also one that was cut off: nobody may wait for it
            if self._lane is not None:
                context.pool.release(lane, claimed.role, None)
        return self._progress

    def settle(
        self, outcome: Outcome, marks: Mapping[str, str], *, may_follow: bool = False
    ) -> tuple[Checkpoint, Statement | None]:
        """See `Recorder`."""
        run = self._run
        if run.broken:
            raise RunAgain("a commit of a sibling has failed")
        run.absorb_held()  # else this might finish the instance without it
        self._end_leaf()
        if run.walk.lost(self.leaf):
            raise Outraced(f"node {self.leaf.node.id} lost a race")
        progress = self._progress = run.walk.settle(self.leaf, outcome, marks)
        run.stop(progress.losers)  # at once: they may hold what this commit waits for
        within = self._race_branch() if run.ledger.unsaved and progress.outcome is None else None
        changes = run.ledger.for_checkpoint(progress, run.walk.graph, within)
        run.ledger.committing += 1
        self._committing = True
        # A save that is under way still needs the claim, which ends with the instance.
        self._finishes = not (progress.changes or run.ledger.saving)
        checkpoint = Checkpoint(
            instance=run.claimed.id,
            worker=run.context.worker,
            changes=changes,
            outcome=progress.outcome if self._finishes else None,
        )
        statement = self._next_statement(progress) if may_follow else None
        if self._following is not None and not self.watched:
            self._begin_leaf(self._following)  # it may take long to hear that this one is over
        return checkpoint, statement

    def successor(self) -> Waiter | None:
        """See `Recorder`."""
        claimed, context = self._run.claimed, self._run.context
        if (
            self._lane is None
            or not self._finishes
            or self._progress.outcome is None  # it wants to go on soon
            or claimed.attempts  # it could not be recorded: on a lane of its own it can be told why
            or self._lane.read_only
            or not self._lane.sees_commits
            or context.stopping
        ):
            return None
        successor = context.pool.successor(self._lane, claimed.role)
        if successor is not None:
            self._lane = None
        return successor

    def landed(self) -> None:
        """See `Recorder`."""
        self._run.landed(finished=self._finishes and self._progress.outcome is not None)
        self._commit_ended()
        if self._following is not None:
            if self._run.walk.lost(self._following):
                raise Outraced(f"node {self._following.node.id} lost a race")
            self._progress.leaves.clear()
            self.leaf, self._following = self._following, None
            if self.watched:
                self._begin_leaf(self.leaf)

    def _race_branch(self) -> list[str] | None:
        """What may be cut off together with this chain: the branch of the race around it."""
        graph, node = self._run.walk.graph, self.leaf.node.id
        for parent in graph.ancestors(node):
            if graph.nodes[parent].type is NodeType.RACE:
                return graph.subtree(node)
            node = parent
        return None

    def _commit_ended(self) -> None:
        if self._committing:
            self._committing = False
            self._run.commit_ended()

    async def check_claim(self) -> None:
        """See `Recorder`."""
        await self._run.check_claim()

    def alone(self, outcome: Outcome, marks: Mapping[str, str]) -> Checkpoint:
        """See `Recorder`."""
        change = Change(self.leaf.node.id, self.leaf.generation, outcome, marks)
        return Checkpoint(
            instance=self._run.claimed.id,
            worker=self._run.context.worker,
            changes=[change],
            outcome=None,
        )

    def _next_statement(self, progress: Progress) -> Statement | None:
        if (
            len(progress.leaves) != 1
            or progress.changes  # not all of it can be recorded yet
            or progress.leaves[0].node.type is not NodeType.SQL
            or self._run.context.stopping
            or self._loop.time() > self._until
        ):
            return None
        try:
            statement = self._run.statement_of(progress.leaves[0])
        except PgDurableError:
            return None  # the run will meet the error again, and record it
        self._following = progress.leaves[0]
        return statement

    def _begin_leaf(self, leaf: Leaf) -> None:
        if self._slow is not None:
            self._slow.begin(leaf)

    def _end_leaf(self) -> None:
        if self._slow is not None:
            self._slow.end()
