"""SQL steps in another database: run there, then recorded in the worker's own."""

from collections.abc import Awaitable, Callable

from pg_durable.graph.outcomes import Outcome
from pg_durable.lanes.other import OtherLane
from pg_durable.lanes.session import Rejected, Statement
from pg_durable.steps.sql import (
    NOT_IN_A_TRANSACTION,
    TRY_AGAIN,
    RunAgain,
    run_alone,
    with_statement,
)


async def run_other_step(
    lane: OtherLane, statement: Statement, may_commit: Callable[[], Awaitable[None]]
) -> Outcome:
    """Run an SQL step in another database, and commit it there.

    `may_commit` is called right before the commit, and raises if it must not be.

    Raises:
        RunAgain: not committed, for a reason that may pass.
        ConnectionLost: the session is gone; unknown whether the step was committed.
        LimitExceeded, StepRefused: the step fails with this; its session is to be closed.
    """
    try:
        result = await lane.execute(statement)
    except Rejected as error:
        if error.sqlstate in NOT_IN_A_TRANSACTION:
            await may_commit()
            outcome = await run_alone(lane, statement)
        else:
            outcome = with_statement(statement, error.failure)
        await lane.rollback()
        return outcome

    await may_commit()
    try:
        await lane.commit()
    except Rejected as error:
        if error.sqlstate in TRY_AGAIN:
            raise RunAgain(str(error)) from error
        return with_statement(statement, error.failure)
    return result
