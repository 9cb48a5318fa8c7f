"""A session of a submitting role, and the two flushes of a step.

    flush 1   BEGIN · the user's statement
    flush 2   what was deferred, cleaning up and the checkpoint, in one call · COMMIT

The statement's effects and the record of them commit together or not at all. Cleaning brings
the session back to what a new login finds, but for cached plans, so the next step of any
instance of the role can use it. It comes before the commit, so as to cost no transaction of its
own; what is deferred to the commit is run before it, so nothing can dirty the session after.

Where the next step is known, of the same chain or of another instance of the role that waits for
a session, its flush 1 travels with flush 2: one round trip a step. The server skips it when
anything in flush 2 fails. After a query, COMMIT AND CHAIN spares its BEGIN: a query cannot have
changed how its transaction is isolated, and not have made it read-only if it could be recorded.
"""

from collections.abc import Awaitable
from typing import NamedTuple

from psycopg import pq

from pg_durable.errors import LeaseLost
from pg_durable.graph.outcomes import Done
from pg_durable.lanes.queries import MAY_COMMIT, QUERIES, Queries, first_word
from pg_durable.lanes.session import (
    OK,
    Started,
    Statement,
    StepSession,
    check_opened,
    error_field,
    is_misfit,
    rejection,
    role_to_take,
)
from pg_durable.records import Checkpoint
from pg_durable.store import (
    END_STEP,
    END_STEP_FORMATS,
    END_STEP_TYPES,
    TO_JSON,
    TO_JSON_FORMATS,
    TO_JSON_TYPES,
    context_of_deferred,
)
from pg_durable.wire import ConnectionLost, Results, Wire
from pg_durable.wire.arrays import text_array

# Prepared once a session; the other statements cost no less if they are.
_END_STEP = b"pg_durable_end_step"
_CALLED_OFF = pq.ExecStatus.PIPELINE_ABORTED
_BEGIN_READ_WRITE = "begin read write"


class CheckpointReplaced(LeaseLost):
    """A step has prepared a statement of its own in the place of ours: it is not recorded."""


class Recording(NamedTuple):
    """A checkpoint and COMMIT under way."""

    answers: Awaitable[Results]
    before: int  # statements of ours that precede those of a step's end
    started: Started | None  # what was begun with it


class Lane(StepSession):
    """A session in the database with the `df` schema."""

    def __init__(self, wire: Wire, max_result_bytes: int, take_role: str | None = None) -> None:
        super().__init__(wire, max_result_bytes, take_role)
        self.prepared = True
        # Of whose step comes next here, if it came with the session.
        self.begun: Started | None = None
        # Whether the role is taken back by statements of their own. Else df._end_step does it: a
        # role that the step has taken may call that, but not look for it where its plan is stale.
        self.careful = False
        # Whether transactions are read-only by default, so that no step is recorded with its own.
        self.read_only = False
        # Otherwise a change of a node's row during its step would make the checkpoint fail.
        self.sees_commits = True
        self._queries = Queries(wire)
        self._runs_query = False  # as the statement of the transaction that is open

    @classmethod
    async def open(cls, conninfo: str, max_result_bytes: int, role: str | None = None) -> "Lane":
        """Log in and prepare what every step uses; with `role`, steps take that role.

        Raises:
            ServerUnavailable: the server cannot be reached or refused the login.
            ConnectionLost: it went away at once.
            StoreError: there is no `df` schema, or not one that fits; or the server has cancelled
                what opens a session, or lacks something for it.
        """
        wire = await Wire.connect(conninfo)
        wire.execute("show role")
        wire.execute("set role none")  # the role of `alter role … set role` need not use df
        wire.prepare(_END_STEP, END_STEP, END_STEP_TYPES)
        wire.execute("show default_transaction_read_only")
        wire.execute("show default_transaction_isolation")
        try:
            results = await wire.sync()
            check_opened(results)
        except BaseException:
            wire.close()
            raise
        lane = cls(wire, max_result_bytes, role_to_take(role, results[0]))
        lane.read_only = results[-2].get_value(0, 0) == b"on"
        lane.sees_commits = results[-1].get_value(0, 0) == b"read committed"
        return lane

    def begin(self, statement: Statement, *, chained: bool = False) -> Started:
        """Begin a transaction, unless the commit before was `chained` to it, and start the
        statement in it; `result` awaits its end."""
        before = 0
        if not chained:
            self._wire.execute("begin")
            before += 1
        word = first_word(statement.text)
        if word in MAY_COMMIT:
            self._set_key(statement.key, local=True)  # it may turn out to have to run alone
            before += 1
        before += self._take_role()
        self._runs_query = word in QUERIES
        chunked = before
        if self._runs_query and self.prepared:
            chunked += self._queries.execute(statement.text)
        else:
            self._wire.execute(statement.text)
        return Started(self._wire.sync(chunked=chunked), before, chained)

    async def result(self, started: Started, statement: Statement) -> Done:
        """The result of a started statement; its transaction is still open.

        It is begun again where it was called off, because the commit of another instance that
        it came with had failed, and where it was prepared and cannot be run so.

        Raises:
            Rejected: the statement failed; the transaction is to be rolled back.
            LimitExceeded: the result is too large; likewise.
            LoginRefused: the session may not take the role of the step.
            ConnectionLost, StepRefused: the session is gone.
        """
        results = await started.answers
        if self._begins_again(results, statement):
            await self.rollback()
            started = self.begin(statement)
            results = await started.answers
        return await self._result_of(self._executed(started, results))

    def _begins_again(self, results: Results, statement: Statement) -> bool:
        if results[0].status == _CALLED_OFF:
            self.forget_prepared()  # who knows what the other one did
            return True
        if results[-1].status in OK or not self._queries.give_up(statement.text, results[-1]):
            return False
        self._forget_rows()
        return True

    async def execute_alone(self, statement: Statement) -> Done:
        """Run a statement that PostgreSQL refuses inside a transaction block; it commits itself."""
        self._wire.execute("rollback")
        self._set_key(statement.key, local=False)
        self._take_role()
        self._check_role(await self._wire.sync())
        self.forget_prepared()
        self._wire.execute(statement.text)
        (result,) = await self._wire.sync()
        return await self._result_of(result)

    def forget_prepared(self) -> None:
        """Reckon with a statement that deallocates what we have prepared, as DISCARD ALL does:
        do without, and use the session for this step only."""
        self.prepared = False
        self.reusable = False

    async def rollback(self) -> None:
        """Undo the open transaction."""
        self._wire.execute("rollback")
        await self._wire.sync()

    def record(
        self,
        checkpoint: Checkpoint,
        following: Statement | None = None,
        *,
        before: int = 0,
        watched: bool = True,
    ) -> Recording:
        """Send what records the step in its statement's transaction, and commits both; `recorded`
        awaits its end. Starts the `following` statement in a new transaction with it; where
        nobody has `watched` for the commit, the server tells of it with the first answer to that.
        There are `before` statements of ours queued already.
        """
        wire = self._wire
        if self.careful:
            wire.execute("set constraints all immediate")
            wire.execute("reset session authorization")
            wire.execute("set role none")
        params = checkpoint.params()
        if self.prepared:
            wire.execute_prepared(_END_STEP, params, END_STEP_FORMATS)
        else:
            wire.execute(END_STEP, params, END_STEP_TYPES, END_STEP_FORMATS)
        chained = self._runs_query and following is not None
        wire.execute("commit and chain" if chained else "commit")
        if following is None:
            return Recording(wire.sync(), before, None)
        answers = wire.part(at_once=watched)
        return Recording(answers, before, self.begin(following, chained=chained))

    async def commit_apart(self, checkpoint: Checkpoint) -> None:
        """Record a step whose statement committed itself, or failed, or never ran. Raises what
        `recorded` does."""
        self._wire.execute("rollback")
        self._wire.execute(_BEGIN_READ_WRITE)
        await self.recorded(self.record(checkpoint, before=2))

    async def recorded(self, recording: Recording) -> None:
        """Wait for the commit.

        Raises:
            LeaseLost: the node is not this worker's any more; nothing was committed.
            Rejected: a deferred constraint failed, or the checkpoint did for a reason of
                the session's; nothing was committed, nothing was started.
            ConnectionLost: unknown whether it was committed; the rows tell.
        """
        results = await recording.answers
        if results[-1].status not in OK:  # or one before it: the rest was called off then
            self.reusable = False
            if recording.started is not None:  # called off; to be read before anything else is sent
                await recording.started.answers
            number = next(n for n, result in enumerate(results) if result.status not in OK)
            raise self._refusal(results, number, recording)
        if results[-1].command_status != b"COMMIT":
            raise ConnectionLost("the COMMIT of a step was answered with something else")
        if results[-2].command_status != b"CALL":
            self.reusable = False
            raise CheckpointReplaced("a step has put something else in the place of its checkpoint")

    def _refusal(self, results: Results, number: int, recording: Recording) -> Exception:
        """Why a step is not recorded: what it has deferred has failed, or something of ours."""
        result = results[number]
        if number == len(results) - 1 or (self.careful and number == recording.before):
            return rejection(result)
        context = context_of_deferred(error_field(result, pq.DiagnosticField.CONTEXT) or "")
        return rejection(result, of_the_user=context is not None, context=context)

    async def _to_json(self, oid: int, texts: list[str | None]) -> list[bytes | None]:
        self._wire.execute(
            TO_JSON, [b"%d" % oid, text_array(texts)], TO_JSON_TYPES, TO_JSON_FORMATS
        )
        (converted,) = await self._wire.sync()
        if converted.status not in OK:
            raise rejection(converted, of_the_user=not is_misfit(converted))
        return [converted.get_value(row, 0) for row in range(converted.ntuples)]
