"""One SQL step in another database; the run records its outcome with the next save."""

import asyncio
from typing import TYPE_CHECKING

from pg_durable.engine.chain import Outraced
from pg_durable.engine.slow import ShownWhenSlow
from pg_durable.graph.outcomes import Leaf, Progress
from pg_durable.lanes.session import Statement
from pg_durable.steps.other import run_other_step
from pg_durable.steps.sql import AT_LEAST_ONCE, RunAgain

if TYPE_CHECKING:
    from pg_durable.engine.run import Run


class StepElsewhere:
    """Runs a leaf in another database.

    Its effects and the record of it are commits of their own: if the worker dies between
    them, the step runs again. Nothing rests on its outcome before that is recorded.
    """

    def __init__(self, run: "Run", leaf: Leaf, database: str) -> None:
        self.leaf = leaf
        self.task = asyncio.current_task()
        self._run = run
        self._database = database
        self._slow = ShownWhenSlow(run)

    async def run(self, statement: Statement) -> Progress:
        """Run the step; what it led to, which is still to be recorded.

        Raises:
            Outraced: the step lost a race.
        """
        claimed, context = self._run.claimed, self._run.context
        lane = await context.pool.acquire(claimed.role, self._database)
        if context.stopping:
            context.pool.release(lane, claimed.role, self._database)
            raise RunAgain("the worker stops")
        self._slow.begin(self.leaf)
        try:
            outcome = await run_other_step(lane, statement, self._may_commit)
        except BaseException:
            lane.reusable = False  # whatever it was doing is rolled back by its end
            raise
        finally:
            self._slow.close()
            context.pool.release(lane, claimed.role, self._database)
        self._refuse_when_outraced()
        self._run.ledger.urgent = True
        return self._run.walk.settle(self.leaf, outcome, AT_LEAST_ONCE)

    async def _may_commit(self) -> None:
        # The claim cannot be part of a transaction over there; this keeps a worker that was
        # frozen from doing again what others have done meanwhile.
        await self._run.check_claim()
        self._refuse_when_outraced()

    def _refuse_when_outraced(self) -> None:
        if self._run.walk.lost(self.leaf):
            raise Outraced(f"node {self.leaf.node.id} lost a race")
