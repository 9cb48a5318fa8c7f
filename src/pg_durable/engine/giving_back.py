"""Letting go of an instance that cannot go on here and now."""

import contextlib
import logging
from typing import TYPE_CHECKING

from pg_durable.engine.watch import is_misfit
from pg_durable.errors import ServerUnavailable
from pg_durable.records import Saving
from pg_durable.store import StoreError
from pg_durable.wire import ConnectionLost

if TYPE_CHECKING:
    from pg_durable.engine.run import Run

log = logging.getLogger(__name__)

_FIRST_DELAY = 0.1
_LONGEST_DELAY = 10.0
_COME_AGAIN = 5.0  # often enough for a queue of requests, and no burden if it is long


async def let_go(run: "Run", reason: BaseException, bug: Exception | None = None) -> None:
    """Give the instance back for a reason, be it a fault of ours, unless others have it soon."""
    if is_misfit(reason) and not await run.context.watch.fits():
        return  # nothing of this instance's: it is taken over by who can
    if bug is not None:
        log.error("instance %s cannot be driven", run.claimed.id, exc_info=bug)
    await _give_back(run, reason)


async def come_again(run: "Run") -> None:
    """Let go of the instance for a while, through no fault of its own."""
    saving = Saving(instance=run.claimed.id, then="release", attempts=run.attempts)
    saving.delay = _COME_AGAIN
    await _save(run, saving)


async def _give_back(run: "Run", reason: BaseException) -> None:
    """Let go of the instance, to be walked again after a pause; or fail it when it was
    given back too often in a row for reasons that lie in its steps."""
    stopping, most = run.context.stopping, run.context.settings.max_attempts
    attempts = 0 if stopping else run.attempts + 1
    saving = Saving(instance=run.claimed.id, then="release", attempts=attempts)
    if isinstance(reason, ServerUnavailable):
        saving.attempts = min(attempts, most - 1)
    elif attempts >= most:
        saving.then = "failed"
        saving.output = f"given up after {attempts} attempts in a row: {reason}"
    if not stopping:
        saving.delay = min(_FIRST_DELAY * 2 ** min(attempts, 10), _LONGEST_DELAY)
        log.debug("instance %s: %s", run.claimed.id, saving.output or reason)
    await _save(run, saving)


async def _save(run: "Run", saving: Saving) -> None:
    # Without a session of the worker's own, the next one takes the instance over.
    with contextlib.suppress(ConnectionLost, StoreError):
        await run.context.saver.save(saving)
