"""The pool of sessions: one per running SQL step, kept warm per role and database."""

import asyncio
import time
from collections import defaultdict
from typing import overload

from pg_durable.errors import ServerUnavailable
from pg_durable.lanes.lane import Lane
from pg_durable.lanes.other import OtherLane
from pg_durable.lanes.session import StepSession
from pg_durable.settings import Settings
from pg_durable.wire.dsn import step_dsn

# What a server says when it will not let the role in however often it is asked.
_FINAL = (
    "authentication failed",
    "no pg_hba.conf entry",
    "does not exist",
    "is not permitted to log in",
    "no password supplied",
    "permission denied for database",
    "is not currently accepting connections",
)


class LoginRefused(Exception):
    """The role cannot log in, so its step fails."""


class LanePool:
    """At most `max_user_connections` sessions, handed out first come, first served."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._free = asyncio.Semaphore(settings.max_user_connections)
        self._idle: defaultdict[tuple[str, str | None], list[StepSession]] = defaultdict(list)
        self._open = 0

    @overload
    async def acquire(self, role: str, database: None) -> Lane: ...

    @overload
    async def acquire(self, role: str, database: str) -> OtherLane: ...

    async def acquire(self, role: str, database: str | None) -> StepSession:
        """Borrow a clean session of the role; wait for a free one. No `database`: the one with
        the `df` schema.

        Raises:
            LoginRefused: the server will not let the role in.
            ServerUnavailable: the server cannot be reached now.
        """
        await self._free.acquire()
        try:
            return self._take((role, database)) or await self._open_lane(role, database)
        except BaseException:
            self._free.release()
            raise

    def release(self, lane: StepSession, role: str, database: str | None) -> None:
        """Give a session back, for the next step or to be closed."""
        self._put_back((role, database), lane)
        self._free.release()

    def close(self) -> None:
        """Close every unused session."""
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

    def _take(self, key: tuple[str, str | None]) -> StepSession | None:
        lanes = self._idle.get(key)
        while lanes:
            lane = lanes.pop()
            if lane.usable:
                return lane
            self._close(lane)
        return None

    def _put_back(self, key: tuple[str, str | None], lane: StepSession) -> None:
        lane.idle_since = time.monotonic()
        if lane.usable and lane.idle_since - lane.opened_at < self._settings.lane_max_age:
            self._idle[key].append(lane)
        else:
            self._close(lane)

    async def _open_lane(self, role: str, database: str | None) -> StepSession:
        if self._open >= self._settings.max_user_connections:
            self._close_longest_idle()
        self._open += 1
        try:
            conninfo = step_dsn(self._settings.dsn, role, database)
            kind = Lane if database is None else OtherLane
            return await kind.open(conninfo, self._settings.max_result_bytes)
        except BaseException as error:
            self._open -= 1
            if isinstance(error, ServerUnavailable) and any(t in error.message for t in _FINAL):
                raise LoginRefused(error.message) from error
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
