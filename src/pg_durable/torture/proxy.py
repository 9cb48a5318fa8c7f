"""A TCP proxy before a server, to do to connections what networks do to them.

It runs in a thread of its own and takes orders from any other, so that a test, a worker in the
same process, or processes of their own may be on either side of it.
"""

import asyncio
import random
import socket
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pg_durable.torture.link import Link, Way, close, without_delay

Address = tuple[str, int] | Path
T = TypeVar("T")


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
                close(client, reset=True)
                continue
            without_delay(client)
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
        without_delay(server)
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
            link.heal()
