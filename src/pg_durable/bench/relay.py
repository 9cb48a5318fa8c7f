"""A relay between workers and the server that counts what clients send.

The protocol is only looked at, never changed, so the worker does just what it always does.
"""

import asyncio
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict, make_conninfo

_CHUNK = 1 << 16
_PORT = "5432"
_LENGTH = 4  # bytes; each message says its own, which counts these, too
_STATEMENTS = frozenset(b"QE")  # Query and Execute


@dataclass(slots=True)
class Traffic:
    """Counts of all sessions together.

    A round trip is a time that the client sends after it has heard from the server: what it would
    have to wait for on a slow network.
    """

    round_trips: int = 0
    statements: int = 0
    bytes_sent: int = 0

    def copy(self) -> "Traffic":
        """The counts now."""
        return Traffic(self.round_trips, self.statements, self.bytes_sent)


class MessageCounter:
    """Finds the statements in what one client sends, however it is cut into pieces."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._started = False  # the first message has no type

    def feed(self, data: bytes) -> int:
        """How many statements have come to their end with these bytes."""
        self._buffer += data
        found = 0
        while True:
            head = 1 if self._started else 0
            if len(self._buffer) < head + _LENGTH:
                return found
            length = head + int.from_bytes(self._buffer[head : head + _LENGTH])
            if len(self._buffer) < length:
                return found
            if self._started and self._buffer[0] in _STATEMENTS:
                found += 1
            self._started = True
            del self._buffer[:length]


@contextmanager
def counting_relay(dsn: str) -> Iterator[tuple[str, Traffic]]:
    """Relay to the server of `dsn`; gives the connection string to use instead, and the counts."""
    parts = {key: str(value) for key, value in conninfo_to_dict(dsn).items()}
    traffic = Traffic()
    with tempfile.TemporaryDirectory(prefix="pgdb_") as folder:
        path = str(Path(folder) / f".s.PGSQL.{_PORT}")
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, name="relay", daemon=True)
        thread.start()
        relay = _Relay(parts.get("host", "localhost"), parts.get("port", _PORT), traffic)
        asyncio.run_coroutine_threadsafe(relay.listen(path), loop).result()
        try:
            through = {**parts, "host": folder, "port": _PORT, "gssencmode": "disable"}
            yield make_conninfo("", **through), traffic
        finally:
            asyncio.run_coroutine_threadsafe(relay.close(), loop).result()
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()


class _Relay:
    def __init__(self, host: str, port: str, traffic: Traffic) -> None:
        self._host = host
        self._port = port
        self._traffic = traffic
        self._server: asyncio.Server | None = None
        self._sessions: set[asyncio.Task[None]] = set()

    async def listen(self, path: str) -> None:
        self._server = await asyncio.start_unix_server(self._serve, path)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for session in self._sessions:
            session.cancel()
        await asyncio.gather(*self._sessions, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session = asyncio.current_task()
        assert session is not None
        self._sessions.add(session)
        try:
            await self._relay(reader, writer)
        except OSError:
            pass  # one end is gone, and the other hears of it
        finally:
            self._sessions.discard(session)
            writer.close()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._host.startswith("/"):
            path = f"{self._host}/.s.PGSQL.{self._port}"
            answers, server = await asyncio.open_unix_connection(path)
        else:
            answers, server = await asyncio.open_connection(self._host, int(self._port))
        counter = MessageCounter()
        heard = True  # of the server, since the client last sent

        async def forth() -> None:
            nonlocal heard
            while data := await reader.read(_CHUNK):
                self._traffic.round_trips += heard
                heard = False
                self._traffic.statements += counter.feed(data)
                self._traffic.bytes_sent += len(data)
                server.write(data)
                await server.drain()
            server.write_eof()

        async def back() -> None:
            nonlocal heard
            while data := await answers.read(_CHUNK):
                heard = True
                writer.write(data)
                await writer.drain()
            writer.close()

        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(forth())
                both.create_task(back())
        except* OSError:
            pass
        finally:
            server.close()
