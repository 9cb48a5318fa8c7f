"""The leaves of a run that work: each is run by what its type and place call for."""

from typing import TYPE_CHECKING

from pg_durable.engine.chain import Chain
from pg_durable.engine.elsewhere import StepElsewhere
from pg_durable.engine.requests import NoPlace, Sending
from pg_durable.errors import LimitExceeded, PgDurableError, ServerUnavailable, StepRefused
from pg_durable.graph.nodes import REQUESTS
from pg_durable.graph.outcomes import Failed, Leaf, Progress
from pg_durable.lanes.session import LoginRefused
from pg_durable.steps.sql import AT_LEAST_ONCE, RunAgain

if TYPE_CHECKING:
    from collections.abc import Collection

    from pg_durable.engine.run import Run


class Leaves:
    """The leaves under way: SQL here, SQL in another database, requests."""

    def __init__(self, run: "Run") -> None:
        self._run = run
        database = run.claimed.database
        self._elsewhere = database if database != run.context.database else None
        self._steps: set[Chain | StepElsewhere | Sending] = set()
        self._requesting = False

    @property
    def outside(self) -> bool:
        """Whether something is under way that takes effect outside the worker's database."""
        return any(isinstance(step, StepElsewhere | Sending) for step in self._steps)

    async def run(self, leaf: Leaf) -> Progress:
        """Run a leaf; what it led to."""
        if leaf.node.type in REQUESTS:
            return await self._request(leaf)
        return await self._chain(leaf)

    def refuse_without_place(self, leaf: Leaf) -> None:
        """Rather than holding an instance that would only queue for a request, let go of it."""
        run = self._run
        if leaf.node.type in REQUESTS and run.context.http.places.full(run.claimed.role):
            raise NoPlace("as many requests are under way as may be")

    def stop(self, losers: "Collection[str]") -> None:
        """Cut off statements and requests of nodes that lost a race."""
        for step in self._steps:
            if step.leaf.node.id in losers and step.task is not None:
                step.task.cancel()

    async def _request(self, leaf: Leaf) -> Progress:
        """Send a request; what it led to, which is recorded before anything rests on it."""
        run = self._run
        sending = Sending(run, leaf)
        self._begin(sending)
        try:
            outcome, sent = await sending.run(run.variables)
        finally:
            self._end(sending)
        run.ledger.urgent = True
        return run.walk.settle(leaf, outcome, AT_LEAST_ONCE if sent else None)

    async def _chain(self, leaf: Leaf) -> Progress:
        """Run an SQL leaf and those of its chain; what the last one led to, recorded already."""
        run, elsewhere = self._run, self._elsewhere
        try:
            statement = run.statement_of(leaf)
        except PgDurableError as error:
            return run.walk.settle(leaf, Failed.of(error))
        step = Chain(run, leaf) if elsewhere is None else StepElsewhere(run, leaf, elsewhere)
        self._begin(step)
        try:
            return await step.run(statement)
        except (LimitExceeded, StepRefused) as error:
            return run.walk.settle(step.leaf, Failed.of(error))
        except LoginRefused as error:
            await self._check_name()
            return run.walk.settle(step.leaf, self._login_failure(error))
        finally:
            self._end(step)

    def _begin(self, step: Chain | StepElsewhere | Sending) -> None:
        self._steps.add(step)
        self._count_requests()

    def _end(self, step: Chain | StepElsewhere | Sending) -> None:
        self._steps.discard(step)
        self._count_requests()

    def _count_requests(self) -> None:
        """Tell whether this run waits for nothing but requests."""
        only = bool(self._steps) and all(isinstance(step, Sending) for step in self._steps)
        if only != self._requesting:
            self._run.context.http.count(only - self._requesting)
            self._requesting = only

    async def _check_name(self) -> None:
        """Walk again where the role was renamed since the claim: it is the new name that counts."""
        claimed = self._run.claimed
        name = await self._run.context.saver.store.submitter(claimed.id)
        if name not in (None, claimed.role):
            raise RunAgain(f"role {claimed.role} is called {name} now")

    def _login_failure(self, error: LoginRefused) -> Failed:
        database, role = self._elsewhere or self._run.context.database, self._run.claimed.role
        return Failed(
            f"Failed to connect to database '{database}' as '{role}'. Error: {error}",
            {"sqlstate": ServerUnavailable.sqlstate},
        )
