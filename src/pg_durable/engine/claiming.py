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
        self._pause = _LONGEST_PAUSE
        self._shown_idle = False
        self._told = False  # the last claim found what an idle worker was told of
        self._role = ""  # of which somebody says that something is due

    def told(self, role: str) -> None:
        """Somebody says that something is due, of a role (its OID) if one is named."""
        self._role = role
        self._attention.set()

    async def claim(self) -> None:
        """Claim once, and wait until the next time."""
        self._attention.clear()
        runs = self._runs
        if not runs.has_room():
            await self._attend(min(_CROWDED_PAUSE, self._settings.poll_interval))
            if not runs.has_room() and not self._context.stopping:
                await self._claim_of_others()
            return
        claims = await self._claims()
        for instance in claims.instances:
            runs.drive(instance)
        if claims.instances:
            await asyncio.sleep(0)  # they come first
            await self._go_on()
        else:
            await self._rest(claims.next_due)

    async def _claims(self) -> Claims:
        """What is due; or only what an idle worker was told of: the next claim, soon after, looks
        for everybody's."""
        worker, room = self._context.worker, self._runs.room()
        role, self._role = self._role, ""
        if role and self._shown_idle and not self._told:
            claims = await self._store.claim(worker, room, role=role)
            if claims.instances:
                return claims
        return await self._store.claim(worker, room)

    async def _claim_of_others(self) -> None:
        """Claim for roles that hold less than their share: what fills the room may be slow."""
        if sated := self._runs.sated():
            claims = await self._store.claim(self._context.worker, self._runs.share(), sated)
            for instance in claims.instances:
                self._runs.drive(instance)

    async def _go_on(self) -> None:
        """There was something: look again soon, but not while idle workers are told of all there
        is, for looking would hold up the little that was claimed."""
        if self._shown_idle:
            if not self._told:
                self._told = True
                await self._attend(_LONGEST_PAUSE)
                return
            # Twice in quick succession: the next one comes without being told.
            await self._show_idle(False)
        self._pause = _SHORTEST_PAUSE
        await asyncio.sleep(_SHORTEST_PAUSE)

    async def _rest(self, next_due: float) -> None:
        """There was nothing: look again a few times, then wait to be told, and look ever less
        often. What was started before that could see this worker idle may be committed late."""
        self._told = False
        if not self._shown_idle:
            if self._pause <= _LONGEST_PAUSE:
                await self._attend(self._pause)
                self._pause *= 2
                return
            await self._show_idle(True)
            if self._shown_idle:
                self._pause = _LONGEST_PAUSE
                return  # look once more: a start may have committed before it could see this
        pause = min(self._pause, next_due, self._settings.poll_interval)
        await self._attend(max(pause, _SHORTEST_PAUSE))
        if not self._attention.is_set():
            self._pause *= 4

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
