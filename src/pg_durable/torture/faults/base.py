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
    """

    excuses: frozenset[str] = frozenset()
    crashes: bool = False

    async def inject(self, arena: "Arena", seconds: float, dice: random.Random) -> None:
        """Make it happen, last for some seconds, and lift it, also when cancelled."""
        raise NotImplementedError
