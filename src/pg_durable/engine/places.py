"""How many may do something at the same time: in all, and for each role."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Places:
    """Places for requests. A role that waits for one of its own takes none from others."""

    def __init__(self, limit: int, per_role: int) -> None:
        self._all = asyncio.Semaphore(limit)
        self._per_role = per_role
        self._roles: dict[str, tuple[asyncio.Semaphore, int]] = {}  # with the number of users

    def full(self, role: str) -> bool:
        """Whether a request of the role would have to wait."""
        own, _ = self._roles.get(role) or (self._all, 0)
        return own.locked() or self._all.locked()

    @asynccontextmanager
    async def take(self, role: str) -> AsyncIterator[None]:
        """Wait for a place, and hold it."""
        own, users = self._roles.get(role) or (asyncio.Semaphore(self._per_role), 0)
        self._roles[role] = own, users + 1
        try:
            async with own, self._all:
                yield
        finally:
            own, users = self._roles[role]
            if users == 1:
                del self._roles[role]
            else:
                self._roles[role] = own, users - 1
