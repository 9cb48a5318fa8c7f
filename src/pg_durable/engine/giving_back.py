"""Letting go of an instance that cannot go on here and now."""

import asyncio
import logging
from typing import TYPE_CHECKING

from pg_durable.engine.watch import is_misfit
from pg_durable.errors import LeaseLost, PgDurableError, ServerUnavailable
from pg_durable.records import Saving
from pg_durable.store import StoreError
from pg_durable.wire import ConnectionLost

if TYPE_CHECKING:
    from pg_durable.engine.run import Run

log = logging.getLogger(__name__)

_FIRST_DELAY = 0.1
_LONGEST_DELAY = 10.0
_COME_AGAIN = 5.0  # often enough for a queue of requests, and no burden if it is long
_MOST_FAULTS = 3
_OF_THE_DATA = ("22", "23")  # classes of SQLSTATE that the same values lead to again


async def let_go(run: "Run", reason: BaseException, bug: Exception | None = None) -> None:
    """Give the instance back for a reason, be it a fault of ours, unless others have it soon."""
    if is_misfit(reason) and not await run.context.watch.fits():
        return  # nothing of this instance's: it is taken over by who can
    if bug is not None and not _lies_in_server(reason):
        log.error("instance %s cannot be driven", run.claimed.id, exc_info=bug)
    await _give_back(run, reason, fault=bug is not None and not _may_pass(bug))


def _lies_in_server(reason: BaseException) -> bool:
    """Whether the server will be well again: no fault of the instance."""
    return isinstance(reason, ServerUnavailable) or (
        isinstance(reason, StoreError) and reason.passes
    )


def released(instance: str, attempts: int) -> Saving:
    """What lets go of an instance, to be claimed again after a growing pause."""
    saving = Saving(instance=instance, then="release", attempts=attempts)
    saving.delay = min(_FIRST_DELAY * 2 ** min(attempts, 10), _LONGEST_DELAY)
    return saving


def _may_pass(bug: Exception) -> bool:
    """Whether another try may go better: the server or this machine lacked something."""
    if isinstance(bug, StoreError):
        return not bug.code.startswith(_OF_THE_DATA)
    return isinstance(bug, OSError | MemoryError)


async def come_again(run: "Run") -> None:
    """Let go of the instance for a while, through no fault of its own."""
    saving = Saving(instance=run.claimed.id, then="release", attempts=run.attempts)
    saving.delay = _COME_AGAIN
    await _save(run, saving)


async def _give_back(run: "Run", reason: BaseException, *, fault: bool) -> None:
    """Let go of the instance, to be walked again after a pause; or fail it when it was
    given back too often in a row for reasons that lie in its steps.

    Faults do not mend themselves, so they are tried less often. One of them is that the rows
    refuse what is to be recorded though the claim is held, as they do once for what another
    worker, long gone, had recorded just before.
    """
    stopping, most = run.context.stopping, run.context.settings.max_attempts
    attempts = 0 if stopping else run.attempts + 1
    refused = isinstance(reason, LeaseLost)
    faults = (run.context.faults.pop(run.claimed.id, 0) if run.attempts else 0) + (fault or refused)
    saving = released(run.claimed.id, attempts)
    if _lies_in_server(reason):
        saving.attempts = min(attempts, most - 1)
    elif attempts >= most or faults >= _MOST_FAULTS:
        saving.then = "failed"
        saving.output = f"given up after {attempts} attempts in a row: {_told(reason)}"
    if stopping:
        saving.delay = 0
    else:
        log.debug("instance %s: %s", run.claimed.id, saving.output or reason)
    held = await _save(run, saving)
    if held and faults and saving.then == "release":
        run.context.faults[run.claimed.id] = faults


def _told(reason: BaseException) -> str:
    if type(reason) is LeaseLost:
        return "a node's row has ended, was stopped, or is of a later iteration than it can be"
    return str(reason) if isinstance(reason, PgDurableError) else repr(reason)


async def _save(run: "Run", saving: Saving) -> bool:
    """Record it; whether the claim still held. Held by a living worker that does not drive it,
    the instance would be nobody's: so it is tried until it is done."""
    while True:
        try:
            return await run.context.saver.save(saving)
        except ConnectionLost:
            return False  # the next session takes the instance over
        except Exception as error:
            if run.context.stopping or is_misfit(error):
                return False
            await asyncio.sleep(_LONGEST_DELAY)
