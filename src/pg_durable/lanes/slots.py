"""Who may have a session next: the role with the fewest, within our limits and the server's."""

import asyncio
from collections import Counter, deque

from pg_durable.errors import LimitExceeded
from pg_durable.lanes.lane import Lane
from pg_durable.lanes.session import Started, Statement
from pg_durable.settings import Settings

_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 5.0


class Waiter:
    """Who waits for a slot.

    With a `statement` it can also be given the session of who had the slot before, with that
    statement begun in it.
    """

    def __init__(self, statement: Statement | None = None) -> None:
        self.statement = statement
        self.lane: Lane | None = None
        self.turn: asyncio.Future[None]

    def take(self, lane: Lane, begun: Started) -> None:
        """It is this one's turn, in a session in which its statement is begun."""
        lane.begun = begun
        self.lane = lane
        self.turn.set_result(None)


class Slots:
    """At most `max_user_connections` sessions in use, and `max_connections_per_role` of a role.

    A free one goes to the waiting role with the fewest, in turn among those with as many, and to
    who came first within the role. Where the server refuses one more, for all or for a role, no
    more than those in use are tried for a while; then one more at a time.
    """

    def __init__(self, settings: Settings) -> None:
        self._most = settings.max_user_connections
        self._most_of_role = settings.max_connections_per_role
        self._timeout = settings.execution_acquire_timeout
        self._in_use: Counter[str] = Counter()  # by role
        self._total = 0
        self._waiting: dict[str, deque[Waiter]] = {}  # by role; whose turn it is, first
        self._refusals: dict[str | None, Refusal] = {}  # by role; None: for all

    async def acquire(self, role: str, waiter: Waiter | None = None) -> None:
        """Wait for a slot; the `waiter` may get a session with it.

        Raises:
            LimitExceeded: there was none for `execution_acquire_timeout` seconds.
        """
        if not self._waiting and self._has_room(role):
            self._take(role)
            return
        waiter = waiter or Waiter()
        waiter.turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(role, deque()).append(waiter)
        self._hand_out()
        try:
            await self._wait(waiter.turn, role)
        except BaseException:
            if waiter.turn.done() and not waiter.turn.cancelled():
                self.release(role)  # handed out at the same moment
            else:
                self._forget(waiter, role)
            raise

    def release(self, role: str) -> None:
        """Give a slot back, to whoever is next."""
        self._in_use[role] -= 1
        self._total -= 1
        if not self._in_use[role]:
            del self._in_use[role]
        if self._waiting:
            self._hand_out()

    def successor(self, role: str, *, stays: bool) -> Waiter | None:
        """Take out who is next if a slot of the role becomes free, provided that it can take over
        the session with the slot; the slot is its own from now on. Where it `stays` with the
        role, other roles come later.
        """
        if not self._waiting:
            return None
        waiters = self._waiting.get(role)
        if waiters is None or waiters[0].statement is None or not (stays or self._is_next(role)):
            return None
        if waiters[0].turn.done():  # cancelled a moment ago
            return None
        return self._next_waiter(role)

    def refused(self, role: str, *, of_role: bool) -> bool:
        """Give back a slot for which the server had no session: too many of the role, or of all.

        Returns whether that is news.
        """
        key = role if of_role else None
        news = key not in self._refusals
        refusal = self._refusals.setdefault(key, Refusal())
        refusal.most = (self._in_use[role] if of_role else self._total) - 1
        self._try_later(key, refusal)
        self.release(role)
        return news

    def admitted(self, role: str) -> None:
        """The server had another session: try one more."""
        for key in (None, role):
            if (refusal := self._refusals.get(key)) is not None:
                refusal.pause = _FIRST_PAUSE
                self._try_one_more(key, refusal)

    def close(self) -> None:
        """Nothing will be handed out any more."""
        for refusal in self._refusals.values():
            if refusal.timer is not None:
                refusal.timer.cancel()
        self._refusals.clear()

    def _try_later(self, key: str | None, refusal: "Refusal") -> None:
        if refusal.timer is not None:
            refusal.timer.cancel()
        loop = asyncio.get_running_loop()
        refusal.timer = loop.call_later(refusal.pause, self._try_one_more, key, refusal)

    def _try_one_more(self, key: str | None, refusal: "Refusal") -> None:
        refusal.pause = min(refusal.pause * 2, _LONGEST_PAUSE)
        refusal.most += 1
        if refusal.most < self._most:
            self._try_later(key, refusal)
        else:
            if refusal.timer is not None:
                refusal.timer.cancel()
            del self._refusals[key]
        self._hand_out()

    async def _wait(self, turn: asyncio.Future[None], role: str) -> None:
        if not self._timeout:
            await turn
            return
        while True:
            await asyncio.wait([turn], timeout=self._timeout)
            if turn.done():
                return
            if not self._refusals:  # a server without connections slows down, and fails nothing
                raise self._timed_out(role)

    def _timed_out(self, role: str) -> LimitExceeded:
        limit, value = "max_user_connections", self._most
        if self._total < self._most and 0 < self._most_of_role <= self._in_use[role]:
            limit, value = "max_connections_per_role", self._most_of_role
        return LimitExceeded(
            f"pg_durable: connection limit reached ({limit}={value}). Timed out after"
            f" {self._timeout:g}s waiting for an available execution slot."
        )

    def _has_room(self, role: str) -> bool:
        of_role = self._in_use[role]
        if self._total >= self._most or 0 < self._most_of_role <= of_role:
            return False
        if not self._refusals:
            return True
        for_all, for_role = self._refusals.get(None), self._refusals.get(role)
        return (for_all is None or self._total < for_all.most) and (
            for_role is None or of_role < for_role.most
        )

    def _take(self, role: str) -> None:
        self._in_use[role] += 1
        self._total += 1

    def _hand_out(self) -> None:
        while role := self._next_role():
            turn = self._next_waiter(role).turn
            if not turn.done():
                self._take(role)
                turn.set_result(None)

    def _next_waiter(self, role: str) -> Waiter:
        waiters = self._waiting.pop(role)
        waiter = waiters.popleft()
        if waiters:
            self._waiting[role] = waiters  # at the end: others with as many come first
        return waiter

    def _next_role(self) -> str | None:
        eligible = [role for role in self._waiting if self._has_room(role)]
        return min(eligible, key=self._in_use.__getitem__, default=None)

    def _is_next(self, role: str) -> bool:
        """Whether the role is next if a slot of its own becomes free."""
        self._in_use[role] -= 1
        self._total -= 1
        is_next = self._next_role() == role
        self._take(role)
        return is_next

    def _forget(self, waiter: Waiter, role: str) -> None:
        waiters = self._waiting.get(role)
        if waiters is not None and waiter in waiters:
            waiters.remove(waiter)
            if not waiters:
                del self._waiting[role]


class Refusal:
    """What is tried after the server has refused a session."""

    def __init__(self) -> None:
        self.most = 0  # sessions
        self.pause = _FIRST_PAUSE  # until one more is tried
        self.timer: asyncio.TimerHandle | None = None
