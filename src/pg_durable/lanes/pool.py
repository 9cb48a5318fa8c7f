"""The pool of sessions: one per running SQL step, kept warm per role and database."""

import logging
import time
from collections import defaultdict
from typing import overload

from pg_durable.lanes.lane import Lane
from pg_durable.lanes.login import log_in
from pg_durable.lanes.other import OtherLane
from pg_durable.lanes.session import NoSessionLeft, Statement, StepSession
from pg_durable.lanes.slots import Slots, Waiter
from pg_durable.settings import Settings
from pg_durable.store import Store

log = logging.getLogger(__name__)


class LanePool:
    """Hands out sessions, as fairly as `Slots` says, and keeps them warm."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings = settings
        self._store = store
        self._slots = Slots(settings)
        self._idle: defaultdict[tuple[str, str | None], list[StepSession]] = defaultdict(list)
        self._open = 0

    @overload
    async def acquire(
        self, role: str, database: None, statement: Statement | None = None
    ) -> Lane: ...

    @overload
    async def acquire(self, role: str, database: str) -> OtherLane: ...

    async def acquire(
        self, role: str, database: str | None, statement: Statement | None = None
    ) -> StepSession:
        """Borrow a clean session of the role; wait for a free one, and while the server has none.
        No `database`: the one with the `df` schema. There the session may come with the
        `statement` begun in it by who had it before (`Lane.begun`).

        Raises:
            LoginRefused: the server will not let the role in.
            ServerUnavailable: the server cannot be reached now.
            LimitExceeded: none was free for `execution_acquire_timeout` seconds.
        """
        while True:
            waiter = Waiter(statement)
            try:
                await self._slots.acquire(role, waiter)
            except BaseException:
                if waiter.lane is not None:
                    self._close(waiter.lane)
                raise
            if waiter.lane is not None:
                return waiter.lane
            try:
                lane = self._take((role, database))
                if lane is None:
                    lane = await self._open_lane(role, database)
                    self._slots.admitted(role)
                lane.stays_until = time.monotonic() + self._settings.time_slice
                return lane
            except NoSessionLeft as error:
                self._make_way(role, error)
            except BaseException:
                self._slots.release(role)
                raise

    def successor(self, lane: Lane, role: str) -> Waiter | None:
        """Who is to take over a session that is about to be released, so that its statement can
        travel with the last commit there. To be given the session at once.

        The session stays with the role for a time slice, whoever else waits: a login takes as long
        as some ten short steps.
        """
        if not lane.usable or self._is_old(lane):
            return None
        return self._slots.successor(role, stays=time.monotonic() < lane.stays_until)

    def release(self, lane: StepSession, role: str, database: str | None) -> None:
        """Give a session back, for the next step or to be closed."""
        self._put_back((role, database), lane)
        self._slots.release(role)

    def close(self) -> None:
        """Close every unused session."""
        self._slots.close()
        self.close_idle(older_than=0.0)

    def close_idle(self, older_than: float | None = None) -> None:
        """Close sessions unused for a while (`lane_idle` seconds)."""
        limit = self._settings.lane_idle if older_than is None else older_than
        now = time.monotonic()
        for key, lanes in list(self._idle.items()):
            for lane in [lane for lane in lanes if now - lane.idle_since >= limit]:
                lanes.remove(lane)
                self._close(lane)
            if not lanes:
                del self._idle[key]

    def _make_way(self, role: str, error: NoSessionLeft) -> None:
        """The server has no session left: close what is not used, and try fewer for a while."""
        for key in [key for key in self._idle if key[0] == role or not error.of_role]:
            for lane in self._idle.pop(key):
                self._close(lane)
        if self._slots.refused(role, of_role=error.of_role):
            whose = f"role {role}" if error.of_role else "all roles"
            log.warning("steps of %s wait until the server has a session: %s", whose, error)

    def _take(self, key: tuple[str, str | None]) -> StepSession | None:
        lanes = self._idle.get(key)
        while lanes:
            lane = lanes.pop()
            if lane.usable and not self._is_old(lane):
                return lane
            self._close(lane)
        return None

    def _put_back(self, key: tuple[str, str | None], lane: StepSession) -> None:
        lane.idle_since = time.monotonic()
        if lane.usable and not self._is_old(lane):
            self._idle[key].append(lane)
        else:
            self._close(lane)

    def _is_old(self, lane: StepSession) -> bool:
        return time.monotonic() - lane.opened_at >= self._settings.lane_max_age

    async def _open_lane(self, role: str, database: str | None) -> StepSession:
        if self._open >= self._settings.max_user_connections:
            self._close_longest_idle()
        self._open += 1
        try:
            return await log_in(self._settings, self._store, role, database)
        except BaseException:
            self._open -= 1
            raise

    def _close_longest_idle(self) -> None:
        idle = [(lane.idle_since, key, lane) for key, lanes in self._idle.items() for lane in lanes]
        if idle:
            _, key, lane = min(idle, key=lambda entry: entry[0])
            self._idle[key].remove(lane)
            self._close(lane)

    def _close(self, lane: StepSession) -> None:
        self._open -= 1
        lane.close()
