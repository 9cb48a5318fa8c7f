"""Claiming what is due: at once while there is work, and when told to where there is none."""

import asyncio
from contextlib import suppress

from pg_durable.engine.context import Context
from pg_durable.engine.runs import Runs
from pg_durable.records import Claims
from pg_durable.store import Store

_CROWDED_PAUSE = 0.25  # between looks for other roles, while there is no room
_SHORTEST_PAUSE = 0.001
_LONGEST_PAUSE = 0.004  # then the worker counts as idle and waits to be notified


class Claiming:
    """The loop that claims. Who sets `attention` has it look before its pause is over."""

    def __init__(
        self, context: Context, runs: Runs, store: Store, control: Store, attention: asyncio.Event
    ) -> None:
        self._context = context
        self._settings = context.settings
        self._runs = runs
        self._store = store
        self._control = control
        self._attention = attention
        self._shown_idle = False

    async def claim(self, pause: float) -> float:
        """Claim once, and wait until the next time; `pause` is what the last time returned."""
        self._attention.clear()
        runs = self._runs
        if not runs.has_room():
            await self._attend(min(_CROWDED_PAUSE, self._settings.poll_interval))
            if not runs.has_room() and not self._context.stopping:
                await self._claim_of_others()
            return pause
        claims = await self._store.claim(self._context.worker, runs.room())
        for instance in claims.instances:
            runs.drive(instance)
        if claims.instances:
            if pause and self._shown_idle:
                # Two claims in quick succession: the next one comes without being told.
                await self._show_idle(False)
            pause = _SHORTEST_PAUSE
        return await self._pause(pause, claims)

    async def _claim_of_others(self) -> None:
        """Claim for roles that hold less than their share: what fills the room may be slow."""
        if sated := self._runs.sated():
            claims = await self._store.claim(self._context.worker, self._runs.share(), sated)
            for instance in claims.instances:
                self._runs.drive(instance)

    async def _pause(self, pause: float, claims: Claims) -> float:
        """Wait before the next claim: briefly while there is work, else until told."""
        if claims.instances:
            await asyncio.sleep(_SHORTEST_PAUSE)
            return _SHORTEST_PAUSE
        if 0 < pause <= _LONGEST_PAUSE:
            await self._attend(pause)
            return pause * 2
        if not self._shown_idle:
            await self._show_idle(True)
            if self._shown_idle:
                return 0.0  # look once more: a start may have committed before it could see this
        pause = max(pause, _LONGEST_PAUSE)
        due = max(claims.next_due, _SHORTEST_PAUSE)
        await self._attend(min(pause, due, self._settings.poll_interval))
        return 0.0 if self._attention.is_set() else pause * 4

    async def _show_idle(self, idle: bool) -> None:
        if idle:
            self._shown_idle = await self._control.show_idle()
        else:
            self._shown_idle = False
            await self._control.show_busy()

    async def _attend(self, timeout: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._attention.wait()
