"""What a fault is."""

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pg_durable.torture.arena import Arena


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of fault.

    Attributes:
        excuses: SQLSTATEs with which it may make a user's statement fail, and hence the
            workflow: those that PostgreSQL reports of the statement itself.
        crashes: whether the server has to recover.
        spoils_network: whether it wants a proxy between workers and server.
    """

    excuses: frozenset[str] = frozenset()
    crashes: bool = False
    spoils_network: bool = False

    async def inject(self, arena: "Arena", seconds: float, dice: random.Random) -> None:
        """Make it happen, last for some seconds, and lift it, also when cancelled."""
        raise NotImplementedError
