"""A session in another database than that of the `df` schema, and the flushes of a step there.

    flush 1   BEGIN · the idempotency key · the user's statement
    flush 2   COMMIT · DISCARD ALL

There is no record of the step in its transaction: the worker makes one afterwards, in its own
database. If it dies in between, the step runs again, with the same key: at least once.
"""

from collections.abc import Sequence

from pg_durable.graph.outcomes import Done
from pg_durable.lanes.session import (
    OK,
    Rejected,
    Started,
    Statement,
    StepSession,
    check_opened,
    rejection,
    role_to_take,
)
from pg_durable.wire import ConnectionLost, Results, Wire
from pg_durable.wire.arrays import text_array

_COMMIT = "commit"
_ROLLBACK = "rollback"
# The SQL name of a type, and values of it as JSON texts: what `df._to_json` does where it is.
_TYPE_NAME = "select pg_catalog.format_type($1, null)"
_TYPE_NAME_TYPES = (26,)
_TO_JSON = (
    "select pg_catalog.to_json(u.v::%s)::pg_catalog.text"
    " from pg_catalog.unnest($1) with ordinality u (v, n) order by u.n"
)
_TO_JSON_TYPES = (1009,)
_BINARY = (1,)


class OtherLane(StepSession):
    """A session in another database; nothing of ours is installed there."""

    def __init__(self, wire: Wire, max_result_bytes: int, take_role: str | None = None) -> None:
        super().__init__(wire, max_result_bytes, take_role)
        self._in_transaction = False

    @classmethod
    async def open(
        cls, conninfo: str, max_result_bytes: int, role: str | None = None
    ) -> "OtherLane":
        """Log in; with `role`, steps take that role.

        Raises:
            ServerUnavailable: the server cannot be reached or refused the login.
            ConnectionLost: it went away at once.
            StoreError: it has cancelled what opens a session, or lacks something for it.
        """
        wire = await Wire.connect(conninfo)
        wire.execute("show role")
        try:
            results = await wire.sync()
            check_opened(results)
        except BaseException:
            wire.close()
            raise
        return cls(wire, max_result_bytes, role_to_take(role, results[0]))

    async def execute(self, statement: Statement) -> Done:
        """Run a statement; its transaction stays open.

        Raises:
            Rejected: the statement failed; the transaction is to be rolled back.
            LimitExceeded: the result is too large; likewise.
            LoginRefused: the session may not take the role of the step.
            ConnectionLost, StepRefused: the session is gone.
        """
        self._in_transaction = True
        self._wire.execute("begin")
        self._set_key(statement.key, local=True)
        before = 2 + self._take_role()
        self._wire.execute(statement.text)
        started = Started(self._wire.sync(chunked=before), before)
        return await self._result_of(self._executed(started, await started.answers))

    async def execute_alone(self, statement: Statement) -> Done:
        """Run a statement that PostgreSQL refuses inside a transaction block; it commits itself."""
        self._wire.execute(_ROLLBACK)
        self._set_key(statement.key, local=False)
        self._take_role()
        self._check_role(await self._wire.sync())
        self._in_transaction = False
        self._wire.execute(statement.text)
        (result,) = await self._wire.sync()
        return await self._result_of(result)

    async def commit(self) -> None:
        """Commit, and bring the session back to what a new login finds.

        Raises:
            Rejected: a deferred constraint failed; nothing was committed.
            ConnectionLost: unknown whether it was committed.
        """
        committed, *_ = await self._end(_COMMIT)
        if committed.status not in OK:
            self.reusable = False
            raise rejection(committed)
        if committed.command_status != b"COMMIT":
            raise ConnectionLost("the COMMIT of a step was answered with something else")

    async def rollback(self) -> None:
        """Undo the open transaction, and clean the session."""
        await self._end(_ROLLBACK)

    async def _end(self, how: str) -> Results:
        # DISCARD ALL refuses to follow another statement in one transaction, which ends here.
        self._wire.execute(how)
        self._wire.execute("discard all")
        results = await self._wire.sync()
        if results[-1].status not in OK:
            self.reusable = False
        return results

    async def _to_json(self, oid: int, texts: list[str | None]) -> list[bytes | None]:
        if self._in_transaction:
            self._wire.execute("savepoint pg_durable")
        self._wire.execute(_TYPE_NAME, [b"%d" % oid], _TYPE_NAME_TYPES)
        name = (await self._wire.sync())[-1]
        if name.status not in OK:
            raise rejection(name)
        values = [text_array(texts)]
        try:
            return await self._converted((name.get_value(0, 0) or b"").decode(), values)
        except Rejected:
            # A type without a text input (record, say) is shown as its text: a step must not
            # fail after its statement ran.
            if self._in_transaction:
                self._wire.execute("rollback to savepoint pg_durable")
            return await self._converted("pg_catalog.text", values)

    async def _converted(self, type_name: str, values: Sequence[bytes]) -> list[bytes | None]:
        self._wire.execute(_TO_JSON % type_name, values, _TO_JSON_TYPES, _BINARY)
        result = (await self._wire.sync())[-1]
        if result.status not in OK:
            raise rejection(result)
        return [result.get_value(row, 0) for row in range(result.ntuples)]
