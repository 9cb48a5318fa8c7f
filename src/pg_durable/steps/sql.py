"""SQL steps: fill in the names, run the statement, record it with its effects."""

from collections.abc import Mapping
from typing import Protocol

from pg_durable.errors import LimitExceeded, ReferenceFailed, StepRefused
from pg_durable.graph.outcomes import Failed, Leaf, Outcome
from pg_durable.graph.substitution import fill_sql, fill_variables
from pg_durable.lanes.lane import Lane
from pg_durable.lanes.other import OtherLane
from pg_durable.lanes.session import Rejected, Statement
from pg_durable.lanes.slots import Waiter
from pg_durable.records import Checkpoint
from pg_durable.steps.advice import hint_for

# What PostgreSQL says of a statement that must not be in a transaction block (VACUUM,
# CREATE INDEX CONCURRENTLY, …), and of a procedure that commits. Both failed before they
# did anything.
NOT_IN_A_TRANSACTION = frozenset({"25001", "2D000"})
# The role's transactions are read-only by default: its statement changes nothing, so the
# record of it can follow in a transaction of its own.
_READ_ONLY = "25006"
# Serialization failure and deadlock, in the checkpoint or at the commit: nothing was committed.
TRY_AGAIN = frozenset({"40001", "40P01"})
# The statement deallocated the session's prepared statements.
_NOT_PREPARED = "26000"

# Characters of a failed statement that are kept.
_MOST_KEPT = 65_536

AT_LEAST_ONCE = {"delivery": "at least once"}


class Recorder(Protocol):
    """What a chain of steps tells of itself, and asks, while it runs."""

    watched: bool  # whether others have to hear of a commit before the next statement has ended

    def settle(
        self, outcome: Outcome, marks: Mapping[str, str], *, may_follow: bool = False
    ) -> tuple[Checkpoint, Statement | None]:
        """What to record with the outcome, at the moment when it is to be; and the statement
        to start with it, if one may follow."""

    def successor(self) -> Waiter | None:
        """Whose statement is to start with the commit, if nothing of this instance may follow:
        the session is that one's from then on."""

    def landed(self) -> None:
        """The checkpoint is committed."""

    async def check_claim(self) -> None:
        """Raise LeaseLost if the instance was cancelled or taken over."""

    def alone(self, outcome: Outcome, marks: Mapping[str, str]) -> Checkpoint:
        """What to record of the step alone; what follows is found when the rows are walked."""


class RunAgain(Exception):
    """The instance is to be given back and walked again from its rows."""


def statement_of(leaf: Leaf, variables: Mapping[str, str], limit: int) -> str:
    """The statement to run, with `{variables}` and then `$names` filled in.

    Raises:
        ReferenceFailed: a name cannot be filled in.
        LimitExceeded: what is filled in has more than `limit` characters.
    """
    text = fill_variables(leaf.node.query or "", variables)
    text = fill_sql(text, leaf.scope.names, leaf.scope.columns, limit)
    if "\0" in text:
        raise ReferenceFailed(
            "A filled-in value contains the character U+0000, which PostgreSQL texts cannot hold."
        )
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ReferenceFailed(
            "A filled-in value contains half of a surrogate pair, which is no character."
        ) from None
    return text


def with_statement(statement: Statement, failure: Failed) -> Failed:
    """A failure that keeps the statement as it was sent, for its owner to read, and a hint."""
    text = statement.text
    details = {**(failure.details or {}), "statement": text[:_MOST_KEPT]}
    if (hint := hint_for(text, details)) is not None:
        details["hint"] = hint
    if len(text) > _MOST_KEPT:
        details["statement_length"] = len(text)
    return failure._replace(details=details)


async def run_sql_steps(lane: Lane, statement: Statement, recorder: Recorder) -> None:
    """Run an SQL step, and those that may follow it, each with its checkpoint in one transaction.

    A step's effects and the record of them commit together or not at all, so a step takes
    effect exactly once whatever dies in between (ARCHITECTURE.md, invariant 2).

    Raises:
        LeaseLost: the node is not this worker's any more; nothing was committed.
        RunAgain: recorded, or not committed, in a way that the rows must tell.
        ConnectionLost: the session is gone; the rows tell whether the step was committed.
        LimitExceeded, StepRefused: the step fails with this; its session is gone.
    """
    started, lane.begun = lane.begun or lane.begin(statement), None
    while True:
        try:
            result = await lane.result(started, statement)
        except Rejected as error:
            if error.sqlstate in NOT_IN_A_TRANSACTION:
                await recorder.check_claim()
                outcome = await run_alone(lane, statement)
                await _record_apart(lane, recorder, outcome, AT_LEAST_ONCE)
            elif error.of_the_user:
                await _record_apart(lane, recorder, with_statement(statement, error.failure), {})
            else:
                raise RunAgain(str(error)) from error
            return

        checkpoint, following = recorder.settle(result, {}, may_follow=True)
        successor = recorder.successor() if following is None else None
        if successor is not None:
            recording = lane.record(checkpoint, successor.statement, watched=False)
            assert recording.started is not None
            successor.take(lane, recording.started)
        else:
            recording = lane.record(checkpoint, following, watched=recorder.watched)
        try:
            await lane.recorded(recording)
        except Rejected as error:
            if successor is None:  # else the lane is not ours any more
                await _record_otherwise(lane, statement, recorder, error)
            raise RunAgain(str(error)) from error
        recorder.landed()
        if following is None or recording.started is None:
            return
        statement, started = following, recording.started


async def _record_apart(
    lane: Lane, recorder: Recorder, outcome: Outcome, marks: Mapping[str, str]
) -> None:
    checkpoint, _ = recorder.settle(outcome, marks)
    await _commit_apart(lane, checkpoint)
    recorder.landed()


async def _record_otherwise(
    lane: Lane, statement: Statement, recorder: Recorder, error: Rejected
) -> None:
    """The commit was rejected: record the step in the way that the reason calls for."""
    if error.sqlstate == _NOT_PREPARED and lane.prepared:
        lane.forget_prepared()
        await lane.rollback()
        try:
            again = await lane.result(lane.begin(statement), statement)
            await lane.recorded(lane.record(recorder.alone(again, {})))
        except Rejected as failed:
            await _commit_apart(lane, recorder.alone(with_statement(statement, failed.failure), {}))
    elif error.sqlstate in TRY_AGAIN:
        return
    elif error.of_the_user:
        # A deferred constraint or trigger: the statement failed after all.
        await _commit_apart(lane, recorder.alone(with_statement(statement, error.failure), {}))
    elif error.sqlstate == _READ_ONLY:
        await recorder.check_claim()
        outcome = await run_alone(lane, statement)
        await _commit_apart(lane, recorder.alone(outcome, AT_LEAST_ONCE))


async def _commit_apart(lane: Lane, checkpoint: Checkpoint) -> None:
    try:
        await lane.commit_apart(checkpoint)
    except Rejected as error:  # nothing of the user's is in it: a full disk, a cancelled call
        raise RunAgain(str(error)) from error


async def run_alone(lane: Lane | OtherLane, statement: Statement) -> Outcome:
    """What comes of a statement that cannot be in a transaction."""
    try:
        return await lane.execute_alone(statement)
    except Rejected as error:
        return with_statement(statement, error.failure)
    except (LimitExceeded, StepRefused) as error:
        return Failed.of(error)
