"""HTTP steps of a run: sent by the worker, without a session of the role, at least once."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from pg_durable.engine.places import Places
from pg_durable.engine.watch import is_misfit
from pg_durable.errors import InvalidWorkflow, LeaseLost, LimitExceeded, NotAllowed, PgDurableError
from pg_durable.graph.idempotency import idempotency_key
from pg_durable.graph.nodes import NodeType
from pg_durable.graph.outcomes import Done, Failed, Leaf, Outcome
from pg_durable.graph.secrets import Secret
from pg_durable.records import Permit, Saving
from pg_durable.settings import Settings
from pg_durable.steps.http.client import Client
from pg_durable.steps.http.exchange import failure, prepare, send
from pg_durable.steps.http.policy import read_policy
from pg_durable.steps.http.request import Request, build_request
from pg_durable.store import StoreError

if TYPE_CHECKING:
    from pg_durable.engine.run import Run

_FUNCTIONS = {
    NodeType.HTTP: ("df.http(text,text,text,jsonb,integer)", "HTTP"),
    NodeType.HTTP_MULTIPART: ("df.http_multipart(text,text,jsonb,jsonb,integer)", "multipart HTTP"),
}


class Http:
    """What the HTTP steps of a worker share: connections, and places for requests."""

    def __init__(self, settings: Settings) -> None:
        self.places = Places(settings.http_max_concurrent, settings.http_max_per_role)
        self.under_way = 0  # runs that wait for nothing but requests
        self.on_change: Callable[[], None] | None = None  # of that number
        self._settings = settings
        self._client: Client | None = None
        self._retired: set[asyncio.Task[None]] = set()

    def count(self, change: int) -> None:
        """So many more runs wait for nothing but requests: they take no place that another
        instance could use."""
        self.under_way += change
        if change and self.on_change is not None:
            self.on_change()

    def client(self, policy: str | None) -> Client:
        """The client for a policy: that of the worker's own settings, or else the database's.

        Raises:
            InvalidWorkflow, RequestFailed: the settings cannot be used.
        """
        rules = read_policy(self._settings.http_policy or policy or "none")
        if self._client is None or self._client.policy != rules:
            client = Client(self._settings, rules)
            if self._client is not None:
                self._retire(self._client)
            self._client = client
        return self._client

    def _retire(self, client: Client) -> None:
        # Under new rules no connection made under the old ones is used; what is under way may end.
        task = asyncio.create_task(client.close_when_idle())
        self._retired.add(task)
        task.add_done_callback(self._retired.discard)

    async def close(self) -> None:
        """Close all connections."""
        if self._client is not None:
            await self._client.close()
        for task in self._retired:
            task.cancel()
        await asyncio.gather(*self._retired, return_exceptions=True)


class NoPlace(Exception):
    """As many requests are under way as may be: the instance is to come again."""


class Sending:
    """One HTTP leaf of a run, from its configuration to its outcome."""

    def __init__(self, run: "Run", leaf: Leaf) -> None:
        self.leaf = leaf
        self.task = asyncio.current_task()
        self._run = run
        self._context = run.context

    async def run(self, variables: dict[str, str]) -> tuple[Outcome, bool]:
        """What came of it, and whether anything may have been sent.

        Raises:
            LeaseLost: the instance is not this worker's any more; nothing was sent.
        """
        claimed, settings = self._run.claimed, self._context.settings
        key = idempotency_key(claimed.id, self.leaf.node.id, self.leaf.generation)
        try:
            request = build_request(self.leaf, variables, settings.max_result_bytes, key)
        except PgDurableError as error:
            return Failed.of(error), False
        shown = asyncio.get_running_loop().call_later(
            settings.show_running_after, self._show_running
        )
        try:
            async with self._context.http.places.take(claimed.role):
                return await self._send(request)
        finally:
            shown.cancel()

    async def _send(self, request: Request) -> tuple[Outcome, bool]:
        try:
            permit = await self._permit(request)
            client = self._context.http.client(permit.policy)
        except PgDurableError as error:
            if isinstance(error, LeaseLost):
                raise
            return Failed.of(error), False
        secrets = {Secret(*key): value for key, value in permit.secrets.items()}
        try:
            outgoing = prepare(client, request, secrets, self._context.settings)
        except PgDurableError as error:
            return failure(error, request, secrets), False
        with client.in_use():
            outcome = await send(client, request, outgoing, secrets)
        most = self._context.settings.max_result_bytes
        if isinstance(outcome, Done) and len(outcome.result) > most:
            outcome = Failed.of(
                LimitExceeded(
                    f"The result of the step has {len(outcome.result)} characters;"
                    f" the limit is {most}.",
                    hint="Ask for less, or raise max_result_bytes.",
                )
            )
        return outcome, True

    async def _permit(self, request: Request) -> Permit:
        """Ask again whether the role may do this: an envelope may be written by hand, and a right
        taken back since.

        Raises:
            NotAllowed: it may not.
            LeaseLost: the instance is not this worker's any more.
            StoreError: the schema is another than it was.
        """
        claimed = self._run.claimed
        function, what = _FUNCTIONS[request.kind]
        try:
            permit = await self._context.saver.store.permit(
                self._context.worker, claimed.id, function, request.secrets
            )
        except StoreError as error:
            if is_misfit(error) and not await self._context.watch.fits():
                raise
            raise InvalidWorkflow(
                f"HTTP privilege check failed for role '{claimed.role}': {error}"
            ) from error
        if permit is None:
            raise LeaseLost("the claim on this instance is gone")
        if not permit.allowed:
            raise NotAllowed(
                f"Blocked: role '{claimed.role}' does not have EXECUTE privilege on "
                f"{function.partition('(')[0]}(). Grant EXECUTE ON FUNCTION {function}"
                f" TO {permit.role} to allow {what} requests."
            )
        return permit

    def _show_running(self) -> None:
        run = self._run
        if not run.walk.lost(self.leaf):
            running = run.with_ancestors([self.leaf.node.id])
            self._context.saver.save(Saving(instance=run.claimed.id, running=running))
