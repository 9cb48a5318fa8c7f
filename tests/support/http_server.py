"""An HTTP server that does what no good server would, and remembers what it was sent."""

import asyncio
import gzip
import json
import ssl
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from multidict import CIMultiDict


@dataclass
class Received:
    """One request, as it came."""

    method: str
    target: str
    headers: CIMultiDict[str]
    body: bytes
    connection: int

    @property
    def path(self) -> str:
        """The path of the target."""
        return urlsplit(self.target).path

    def argument(self, name: str) -> str:
        """A parameter of the query."""
        return parse_qs(urlsplit(self.target).query)[name][0]


@dataclass
class HttpServer:
    """Listens at 127.0.0.1. What it does is said by the path: see `answer`."""

    port: int = 0
    scheme: str = "http"
    connections: int = 0  # accepted so far
    open: int = 0  # of which still open
    under_way: int = 0  # requests that wait for the gate
    most_under_way: int = 0
    received: list[Received] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    canned: dict[str, bytes] = field(default_factory=dict)  # whole answers, by path

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        """Where to find it."""
        return f"{self.scheme}://{host}:{self.port}{path}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        self.connections += 1
        self.open += 1
        number = self.connections
        with suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            while (request := await _read(reader, number)) is not None:
                self.received.append(request)
                if not await self.answer(request, reader, writer):
                    break
        self.open -= 1
        writer.close()
        with suppress(ConnectionError, ssl.SSLError, TimeoutError):
            await writer.wait_closed()

    async def answer(
        self, request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Write an answer; whether the connection may be used again."""
        match request.path.split("/")[1:]:
            case [*_] if request.path in self.canned:
                writer.write(self.canned[request.path])
                await writer.drain()
                return b"Connection: close" not in self.canned[request.path]
            case ["echo", *_]:
                seen = {
                    "method": request.method,
                    "target": request.target,
                    "headers": {name.lower(): value for name, value in request.headers.items()},
                    "body": request.body.decode(errors="replace"),
                }
                writer.write(answer(200, json.dumps(seen).encode(), "application/json"))
            case ["status", status]:
                writer.write(answer(int(status), b"so be it", "text/plain"))
            case ["redirect", status]:
                location = f"Location: {request.argument('to')}\r\n"
                writer.write(answer(int(status), b"elsewhere", "text/plain", location))
            case ["gate", *_]:
                self.under_way += 1
                self.most_under_way = max(self.under_way, self.most_under_way)
                left = not await self._wait_at_gate(reader)
                self.under_way -= 1
                if left:
                    return False
                writer.write(answer(200, b"through", "text/plain"))
            case ["big", size]:
                writer.write(answer(200, b"x" * int(size), "text/plain"))
            case ["endless"]:
                writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                while True:
                    writer.write(b"1000\r\n" + b"x" * 4096 + b"\r\n")
                    await writer.drain()
            case ["chunked"]:
                writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                for piece in (b"one ", b"two ", b"three"):
                    writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                    await writer.drain()
                writer.write(b"0\r\n\r\n")
            case ["drop"]:
                return False
            case ["once", *_]:  # answers, and closes the idle connection without a word
                writer.write(answer(200, b"once", "text/plain"))
                await writer.drain()
                return False
            case _:
                writer.write(answer(404, b"no such thing", "text/plain"))
        await writer.drain()
        return True

    async def _wait_at_gate(self, reader: asyncio.StreamReader) -> bool:
        """Wait until the gate opens; False: the client has left before."""
        opened = asyncio.ensure_future(self.gate.wait())
        left = asyncio.ensure_future(reader.read(1))
        try:
            await asyncio.wait({opened, left}, return_when=asyncio.FIRST_COMPLETED)
            return opened.done()
        finally:
            opened.cancel()
            left.cancel()
            await asyncio.wait({opened, left})


def answer(status: int, body: bytes, content_type: str, more: str = "") -> bytes:
    """A whole response."""
    head = f"HTTP/1.1 {status} X\r\nContent-Type: {content_type}\r\n{more}"
    return head.encode("latin-1") + b"Content-Length: %d\r\n\r\n" % len(body) + body


def gzipped(body: bytes) -> bytes:
    """A response whose body is compressed."""
    return answer(200, gzip.compress(body), "text/plain", "Content-Encoding: gzip\r\n")


def deflated(body: bytes) -> bytes:
    """The same in the other way."""
    return answer(200, zlib.compress(body), "text/plain", "Content-Encoding: deflate\r\n")


async def _read(reader: asyncio.StreamReader, connection: int) -> Received | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")[:-2]
    method, target, _ = first.split(" ", 2)
    headers = CIMultiDict[str]()
    for line in lines:
        name, _, value = line.partition(": ")
        headers.add(name, value)
    body = await reader.readexactly(int(headers.get("Content-Length", "0")))
    return Received(method, target, headers, body, connection)


@asynccontextmanager
async def http_server(
    *, tls: ssl.SSLContext | None = None, server: HttpServer | None = None
) -> AsyncIterator[HttpServer]:
    """A server as long as the block."""
    server = server or HttpServer(scheme="https" if tls else "http")
    tasks: set[asyncio.Task[None]] = set()

    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await server.serve(reader, writer)
        except asyncio.CancelledError:
            writer.close()  # the test is over
        finally:
            tasks.discard(task)

    listening = await asyncio.start_server(accepted, "127.0.0.1", 0, ssl=tls, backlog=2048)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await listening.wait_closed()
