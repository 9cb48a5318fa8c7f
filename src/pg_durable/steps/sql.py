"""SQL steps: fill in the names, run the statement, record it with its effects."""

from collections.abc import Awaitable, Callable, Mapping

from pg_durable.errors import LimitExceeded, PgDurableError, ReferenceFailed, StepRefused
from pg_durable.graph.substitution import fill_sql, fill_variables
from pg_durable.graph.walk import Change, Done, Failed, Leaf, Outcome
from pg_durable.lanes.lane import Lane, Rejected
from pg_durable.store import Checkpoint

# What PostgreSQL says of a statement that must not be in a transaction block (VACUUM,
# CREATE INDEX CONCURRENTLY, …), and of a procedure that commits. Both failed before they
# did anything.
_NOT_IN_A_TRANSACTION = frozenset({"25001", "2D000"})
# The role's transactions are read-only by default: its statement changes nothing, so the
# record of it can follow in a transaction of its own.
_READ_ONLY = "25006"
# The statement deallocated the session's prepared statements.
_NOT_PREPARED = "26000"

AT_LEAST_ONCE = {"delivery": "at least once"}

# Turns an outcome into what is to be recorded with it, at the moment when it is to be.
Record = Callable[[Outcome, Mapping[str, str]], Awaitable[Checkpoint]]


class RunAgain(Exception):
    """The instance is to be given back and walked again from its rows."""


def statement_of(leaf: Leaf, variables: Mapping[str, str]) -> str:
    """The statement to run, with `{variables}` and then `$names` filled in.

    Raises:
        ReferenceFailed, LimitExceeded: a name cannot be filled in.
    """
    text = fill_sql(fill_variables(leaf.node.query or "", variables), leaf.scope.names)
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


def failure_of(error: PgDurableError) -> Failed:
    """An error of ours as the outcome of a node."""
    return Failed(str(error), {"sqlstate": error.sqlstate})


async def run_sql_step(
    lane: Lane, leaf: Leaf, statement: str, worker: int, instance: str, record: Record
) -> None:
    """Run one SQL step and its checkpoint in a single transaction.

    The step's effects and the record of them commit together or not at all, so a step takes
    effect exactly once whatever dies in between (ARCHITECTURE.md, invariant 2).

    Raises:
        LeaseLost: the node is not this worker's any more; nothing was committed.
        RunAgain: recorded, or not committed, in a way that the rows must tell.
        ConnectionLost: the session is gone; the rows tell whether the step was committed.
    """

    async def leaf_alone(outcome: Outcome, marks: Mapping[str, str]) -> Checkpoint:
        # What follows from it is found when the rows are walked again.
        change = Change(leaf.node.id, leaf.generation, outcome)
        return Checkpoint(
            instance=instance, worker=worker, changes=[change], outcome=None, marks=marks
        )

    try:
        result = await lane.execute(statement)
    except Rejected as error:
        if error.sqlstate in _NOT_IN_A_TRANSACTION:
            outcome = await _run_alone(lane, statement)
            await lane.commit_apart(await record(outcome, AT_LEAST_ONCE))
        else:
            await lane.commit_apart(await record(error.failure, {}))
        return
    except LimitExceeded as error:
        await lane.commit_apart(await record(failure_of(error), {}))
        return

    checkpoint = await record(Done(result), {})
    try:
        await lane.commit(checkpoint)
    except Rejected as error:
        if error.sqlstate == _NOT_PREPARED and lane.prepared:
            lane.forget_prepared()
            await lane.rollback()
            await run_sql_step(lane, leaf, statement, worker, instance, leaf_alone)
        elif error.of_the_user:
            # A deferred constraint or trigger: the statement failed after all.
            await lane.commit_apart(await leaf_alone(error.failure, {}))
        elif error.sqlstate == _READ_ONLY:
            outcome = await _run_alone(lane, statement)
            await lane.commit_apart(await leaf_alone(outcome, AT_LEAST_ONCE))
        raise RunAgain(str(error)) from error


async def _run_alone(lane: Lane, statement: str) -> Outcome:
    try:
        return Done(await lane.execute_alone(statement))
    except Rejected as error:
        return error.failure
    except (LimitExceeded, StepRefused) as error:
        return failure_of(error)
