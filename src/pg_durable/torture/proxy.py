"""A TCP proxy before a server, to do to connections what networks do to them.

It runs in a thread of its own and takes orders from any other, so that a test, a worker in the
same process, or processes of their own may be on either side of it.
"""

import asyncio
import random
import socket
import struct
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from enum import Flag, auto
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pg_durable.torture.protocol import ServerMessages

Address = tuple[str, int] | Path
T = TypeVar("T")

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
        self.swallows = _NEITHER
        self.torn = False  # something of it was swallowed: it can never be whole again
        self.notifies = True
        self.latency = 0.0
        self.bytes_per_second: float | None = None
        self._client = client
        self._server: socket.socket | None = None
        self._messages = ServerMessages()
        self._flows = {Way.TO_SERVER: asyncio.Event(), Way.TO_CLIENT: asyncio.Event()}
        # Which ends to close, and whether with an RST.
        self._cut: asyncio.Future[tuple[Way, bool]] = asyncio.Future()
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
                _close(end, reset=reset)


class Proxy:
    """Passes connections on to a server, and spoils them when told to; a context manager.

    A fault hits a random share of the connections: of those there are, each with this
    probability, and likewise each that comes later, until `heal`. `cut` hits those there are.

    Args:
        target: where the server is: (host, port), or the path of its socket. Over the socket it
            sees the proxy's own operating-system user, whoever connects to the proxy.
        dice: decides who is hit.
        listener: a listening socket, made in another network namespace, say; else one is opened
            on a free port of 127.0.0.1.
    """

    def __init__(
        self,
        target: Address,
        *,
        dice: random.Random | None = None,
        listener: socket.socket | None = None,
    ) -> None:
        self._target = target
        # Of its own: when connections come must not change what else is drawn from those dice.
        self._dice = random.Random((dice or random.Random(0)).random())
        self._listener = listener or socket.create_server(("127.0.0.1", 0), backlog=128)
        self._listener.setblocking(False)
        self.host, self.port = self._listener.getsockname()[:2]
        self._links: dict[Link, asyncio.Task[None]] = {}
        self._faults: list[tuple[float, Callable[[Link], None]]] = []
        self._refuses = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)

    @classmethod
    def before(cls, dsn: str, *, dice: random.Random | None = None) -> Self:
        """A proxy before the server of a connection string with one host."""
        parts = conninfo_to_dict(dsn)
        host, port = str(parts.get("host", "")), int(parts.get("port") or 5432)
        local = host.startswith("/")
        return cls(Path(host) / f".s.PGSQL.{port}" if local else (host, port), dice=dice)

    def dsn(self, dsn: str) -> str:
        """The same connection string, but through the proxy."""
        return make_conninfo(
            dsn, host=self.host, port=self.port, sslmode="disable", gssencmode="disable"
        )

    @property
    def connections(self) -> int:
        """How many connections pass through it."""
        return self._call(lambda: len(self._links))

    @property
    def torn(self) -> int:
        """How many connections something was swallowed of."""
        return self._call(lambda: sum(link.torn for link in self._links))

    def cut(self, ends: Way = Way.BOTH, *, reset: bool = True, share: float = 1.0) -> int:
        """Close connections, with an RST or a FIN; returns how many.

        With one of the `ends` only, the other is kept open and hears nothing of it until `heal`.
        """
        return self._call(partial(self._cut, ends, reset, share))

    def swallow(self, ways: Way = Way.BOTH, *, share: float = 1.0, new_ones: bool = True) -> None:
        """A black hole: what is sent is lost, though TCP acknowledges it. `heal` resets the
        connections that lost something. Without `new_ones` those that come later are spared."""

        def fault(link: Link) -> None:
            link.swallows = ways

        self._inflict(share, fault, new_ones=new_ones)

    def hold(self, ways: Way = Way.BOTH, *, share: float = 1.0) -> None:
        """A partition: what is sent is delayed until `heal`, and then arrives."""
        self._inflict(share, lambda link: link.hold(ways))

    def slow(
        self, latency: float, *, bytes_per_second: float | None = None, share: float = 1.0
    ) -> None:
        """Delay each piece of data by some seconds, and limit the rate."""

        def fault(link: Link) -> None:
            link.latency, link.bytes_per_second = latency, bytes_per_second

        self._inflict(share, fault)

    def lose_notifications(self, *, share: float = 1.0) -> None:
        """Leave out the notifications the server sends."""

        def fault(link: Link) -> None:
            link.notifies = False

        self._inflict(share, fault)

    def refuse(self) -> None:
        """Reset each new connection."""
        self._call(lambda: setattr(self, "_refuses", True))

    def heal(self) -> None:
        """End all faults: connections that lost nothing go on, the others are reset."""
        self._call(self._heal)

    def start(self) -> None:
        """Begin to accept connections."""
        self._thread.start()

    def stop(self) -> None:
        """Reset all connections, and listen no more."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        self._listener.close()
        self._loop.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _call(self, act: Callable[[], T]) -> T:
        """Do it in the proxy's thread, between two of its steps."""

        async def acting() -> T:
            return act()

        return asyncio.run_coroutine_threadsafe(acting(), self._loop).result()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.create_task(self._accept())
        self._loop.run_forever()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))

    async def _accept(self) -> None:
        while True:
            client, _ = await self._loop.sock_accept(self._listener)
            if self._refuses:
                _close(client, reset=True)
                continue
            _without_delay(client)
            link = Link(client)
            for share, fault in self._faults:
                if self._dice.random() < share:
                    fault(link)
            self._links[link] = self._loop.create_task(self._serve(link))

    async def _serve(self, link: Link) -> None:
        try:
            await link.serve(self._connect)
        finally:
            del self._links[link]

    async def _connect(self) -> socket.socket:
        local = isinstance(self._target, Path)
        server = socket.socket(socket.AF_UNIX if local else socket.AF_INET, socket.SOCK_STREAM)
        server.setblocking(False)
        try:
            address = str(self._target) if local else self._target
            await self._loop.sock_connect(server, address)  # type: ignore[arg-type]
        except BaseException:
            server.close()
            raise
        _without_delay(server)
        return server

    def _inflict(
        self, share: float, fault: Callable[[Link], None], *, new_ones: bool = True
    ) -> None:
        def act() -> None:
            if new_ones:
                self._faults.append((share, fault))
            for link in self._links:
                if self._dice.random() < share:
                    fault(link)

        self._call(act)

    def _cut(self, ends: Way, reset: bool, share: float) -> int:
        hit = [link for link in self._links if self._dice.random() < share]
        for link in hit:
            link.cut(ends, reset=reset)
        return len(hit)

    def _heal(self) -> None:
        self._refuses = False
        self._faults.clear()
        for link, serving in self._links.items():
            if link.torn:
                serving.cancel()
            link.swallows = _NEITHER
            link.notifies, link.latency, link.bytes_per_second = True, 0.0, None
            link.hold(_NEITHER)


async def _discard(source: socket.socket) -> None:
    """Read what nobody will ever get, and say nothing of its end."""
    while await asyncio.get_running_loop().sock_recv(source, _CHUNK):
        pass
    await asyncio.Event().wait()


def _without_delay(end: socket.socket) -> None:
    if end.family != socket.AF_UNIX:
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _close(end: socket.socket, *, reset: bool) -> None:
    with suppress(OSError):
        if reset and end.family != socket.AF_UNIX:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        elif not reset:
            end.shutdown(socket.SHUT_RDWR)
    end.close()
