"""What networks do to connections between workers and the server."""

import asyncio
import random
from typing import TYPE_CHECKING

from pg_durable.torture.faults.base import Fault
from pg_durable.torture.link import Way
from pg_durable.torture.proxy import Proxy

if TYPE_CHECKING:
    from pg_durable.torture.arena import Arena

_WAYS = (Way.TO_SERVER, Way.TO_CLIENT, Way.BOTH)


class _Spoiled(Fault):
    def spoil(self, proxy: Proxy, share: float, dice: random.Random) -> None:
        """Begin what is undone by `heal`."""
        raise NotImplementedError

    async def inject(self, arena: "Arena", seconds: float, dice: random.Random) -> None:
        """See `Fault`."""
        share = dice.choice([0.2, 0.6, 1.0])
        try:
            await asyncio.to_thread(self.spoil, arena.proxy, share, dice)
            await asyncio.sleep(seconds)
        finally:
            await asyncio.to_thread(arena.proxy.heal)


class ConnectionsCut(_Spoiled):
    """Connections are closed, in order or with an RST; or one end of them, so that the other one
    hears nothing of it."""

    def spoil(self, proxy: Proxy, share: float, dice: random.Random) -> None:
        """See `_Spoiled`."""
        proxy.cut(dice.choice(_WAYS), reset=dice.random() < 0.5, share=share)


class BlackHole(_Spoiled):
    """What is sent is acknowledged and lost, in one direction or both."""

    def spoil(self, proxy: Proxy, share: float, dice: random.Random) -> None:
        """See `_Spoiled`."""
        proxy.swallow(dice.choice(_WAYS), share=share)


class Partition(_Spoiled):
    """What is sent is held back, and arrives when nobody waits for it any more."""

    def spoil(self, proxy: Proxy, share: float, dice: random.Random) -> None:
        """See `_Spoiled`."""
        proxy.hold(dice.choice(_WAYS), share=share)


class SlowNetwork(_Spoiled):
    """Everything takes its time."""

    def spoil(self, proxy: Proxy, share: float, dice: random.Random) -> None:
        """See `_Spoiled`."""
        rate = dice.choice([None, 5_000.0, 100_000.0])
        proxy.slow(dice.choice([0.01, 0.1, 0.5]), bytes_per_second=rate, share=share)


class NetworkUnreachable(_Spoiled):
    """Connections are cut, and new ones refused."""

    def spoil(self, proxy: Proxy, share: float, dice: random.Random) -> None:
        """See `_Spoiled`."""
        proxy.refuse()
        proxy.cut(share=share)


class NotificationsLost(_Spoiled):
    """The server's notifications do not arrive."""

    def spoil(self, proxy: Proxy, share: float, dice: random.Random) -> None:
        """See `_Spoiled`."""
        proxy.lose_notifications(share=share)
