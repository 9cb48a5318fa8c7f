"""One connection through the proxy, and what is done to it."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from enum import Flag, auto
from typing import Any

from pg_durable.torture.protocol import ServerMessages

_CHUNK = 65536
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends an RST and forgets what is unsent


class Way(Flag):
    """Which way bytes go, or which end of a connection is meant: the one they go to."""

    TO_SERVER = auto()
    TO_CLIENT = auto()
    BOTH = TO_SERVER | TO_CLIENT


_NEITHER = Way(0)


class Link:
    """One connection through the proxy, and what is wrong with it."""

    def __init__(self, client: socket.socket) -> None:
        self.torn = False  # something of it was swallowed: it can never be whole again
        self._client = client
        self._server: socket.socket | None = None
        self._messages = ServerMessages()
        self._flows = {Way.TO_SERVER: asyncio.Event(), Way.TO_CLIENT: asyncio.Event()}
        # Which ends to close, and whether with an RST.
        self._cut: asyncio.Future[tuple[Way, bool]] = asyncio.Future()
        self.heal()

    def heal(self) -> None:
        """From now on all bytes pass, at once."""
        self.swallows = _NEITHER
        self.notifies = True
        self.latency = 0.0
        self.bytes_per_second: float | None = None
        self.hold(_NEITHER)

    def hold(self, ways: Way) -> None:
        """Let bytes of these ways wait, and those of the others pass."""
        for way, flows in self._flows.items():
            if way in ways:
                flows.clear()
            else:
                flows.set()

    def cut(self, ends: Way, *, reset: bool) -> None:
        """Close these ends soon; the other one, if any, stays open and hears nothing of it."""
        self.torn = True
        if not self._cut.done():
            self._cut.set_result((ends, reset))

    async def serve(self, connect: Callable[[], Awaitable[socket.socket]]) -> None:
        """Connect to the server, and pass on what comes until one of the two ends or it is cut.
        Cancelled, it resets both."""
        reset = True
        try:
            self._server = await connect()
            ends, reset = await self._pass_on(self._client, self._server)
            self._close(ends, reset=reset)
            if ends is not Way.BOTH:
                reset = True
                await _discard(self._server if ends is Way.TO_CLIENT else self._client)
        except OSError:
            pass  # the server's refusal, and every RST, is passed on as an RST
        finally:
            self._close(Way.BOTH, reset=reset)

    async def _pass_on(self, client: socket.socket, server: socket.socket) -> tuple[Way, bool]:
        pumps = [
            asyncio.create_task(self._pump(client, server, Way.TO_SERVER)),
            asyncio.create_task(self._pump(server, client, Way.TO_CLIENT)),
        ]
        try:
            events: list[asyncio.Future[Any]] = [*pumps, self._cut]
            await asyncio.wait(events, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            ends = await asyncio.gather(*pumps, return_exceptions=True)
        if self._cut.done():
            return self._cut.result()
        return Way.BOTH, any(isinstance(end, OSError) for end in ends)

    async def _pump(self, source: socket.socket, sink: socket.socket, way: Way) -> None:
        loop = asyncio.get_running_loop()
        while True:
            data = await loop.sock_recv(source, self._most())
            await self._flows[way].wait()
            if way in self.swallows:
                self.torn = True
                if data:
                    continue
                await asyncio.Event().wait()  # nobody hears of its end either
            if not data:
                return
            if way is Way.TO_SERVER:
                self._messages.client_sent(data)
            else:
                data = self._messages.server_sent(data, notifications=self.notifies)
            if self.latency or self.bytes_per_second:
                rate = self.bytes_per_second
                await asyncio.sleep(self.latency + (len(data) / rate if rate else 0.0))
            await loop.sock_sendall(sink, data)

    def _most(self) -> int:
        rate = self.bytes_per_second
        return _CHUNK if rate is None else max(min(int(rate / 10), _CHUNK), 1)

    def _close(self, ends: Way, *, reset: bool) -> None:
        for way, end in ((Way.TO_CLIENT, self._client), (Way.TO_SERVER, self._server)):
            if way in ends and end is not None and end.fileno() >= 0:
                close(end, reset=reset)


async def _discard(source: socket.socket) -> None:
    """Read what nobody will ever get, and say nothing of its end."""
    while await asyncio.get_running_loop().sock_recv(source, _CHUNK):
        pass
    await asyncio.Event().wait()


def without_delay(end: socket.socket) -> None:
    """Send at once what is to be sent."""
    if end.family != socket.AF_UNIX:
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def close(end: socket.socket, *, reset: bool) -> None:
    """Close a socket, with an RST (where there are such) or in order."""
    with suppress(OSError):
        if reset and end.family != socket.AF_UNIX:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        elif not reset:
            end.shutdown(socket.SHUT_RDWR)
    end.close()
