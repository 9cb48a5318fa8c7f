"""Waiting for a condition with a deadline, instead of sleeping and hoping."""

import asyncio
import time
from collections.abc import Awaitable, Callable

DEADLINE = 30.0


async def until(
    condition: Callable[[], Awaitable[object]], *, within: float = DEADLINE, every: float = 0.01
) -> None:
    """Wait until the condition holds; fail with its last value when it does not in time."""
    end = time.monotonic() + within
    while not (value := await condition()):
        assert time.monotonic() < end, f"not within {within} s; last value: {value!r}"
        await asyncio.sleep(every)
