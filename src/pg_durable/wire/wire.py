"""One connection in libpq's pipeline mode, driven from the event loop.

Statements are queued and sent with one `sync()`; its future resolves with their results, in
one network round trip. `part()` before it asks for the results so far as soon as they are there.
Several syncs may be under way: answers come in order. This is the low-level half of psycopg 3,
several times cheaper per statement than its cursors.
"""

import asyncio
import select
from collections import deque
from collections.abc import Callable, Sequence
from itertools import count

import psycopg
from psycopg import pq
from psycopg.pq.abc import PGresult

from pg_durable.errors import LimitExceeded, ServerUnavailable, StepRefused
from pg_durable.wire.cancelling import cancel_in_server

_COMPLETE = frozenset({pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK})
_SYNC = pq.ExecStatus.PIPELINE_SYNC
_ROWS = pq.ExecStatus.TUPLES_CHUNK
_COPYING = frozenset({pq.ExecStatus.COPY_IN, pq.ExecStatus.COPY_OUT, pq.ExecStatus.COPY_BOTH})
_CHUNK = 256  # rows
_FAILED = frozenset({pq.ExecStatus.FATAL_ERROR, pq.ExecStatus.BAD_RESPONSE})


class ConnectionLost(Exception):
    """The session is gone; whether its last commit happened is for the rows to tell."""


Results = list[PGresult]


class Wire:
    """A session with the server."""

    def __init__(self, connection: psycopg.AsyncConnection) -> None:
        self._connection = connection
        self.pg = connection.pgconn
        # Told here, as a lost session cannot be asked.
        self.database = (self.pg.db or b"").decode()
        self.encoding = (self.pg.parameter_status(b"server_encoding") or b"").decode()
        self.lost: Exception | None = None
        self.prepared: dict[
            str, bytes
        ] = {}  # names of statements by their texts, for who keeps them
        self._number = count(1)
        self.on_notify: Callable[[bytes], None] | None = None
        self.on_lost: Callable[[], None] | None = None
        # Takes rows as they come, so that a huge result never is in memory as a whole; may
        # raise LimitExceeded to end the session.
        self.on_rows: Callable[[PGresult], None] | None = None
        self._loop = asyncio.get_running_loop()
        # Who waits for how many results (None: for all up to the next sync), and the rows of
        # which one (counted from 0; None: of none) come in chunks.
        self._waiting: deque[tuple[asyncio.Future[Results], int | None, int | None]] = deque()
        self._queued = 0
        self._results: Results = []
        self._writing = False
        self._socket = self.pg.socket
        self._errors = select.poll()  # tells errors and hang-ups, which need not be asked for
        self._errors.register(self._socket, 0)
        self.pg.nonblocking = 1
        self.pg.enter_pipeline_mode()
        self._loop.add_reader(self._socket, self._readable)

    @classmethod
    async def connect(cls, conninfo: str) -> "Wire":
        """Open a session.

        Raises:
            ServerUnavailable: no server, or it refused; carries libpq's words.
        """
        connecting = asyncio.ensure_future(
            psycopg.AsyncConnection.connect(conninfo, autocommit=True)
        )
        try:
            return cls(await asyncio.shield(connecting))
        except asyncio.CancelledError:
            connecting.add_done_callback(_close_unwanted)
            raise
        except psycopg.Error as error:
            raise ServerUnavailable(_in_one_line(error)) from error

    def prepare(self, name: bytes, statement: str, types: Sequence[int] = ()) -> None:
        """Queue the preparation of a statement."""
        self._send(self.pg.send_prepare, name, statement.encode(), types)

    def prepare_anew(self, statement: str, prefix: bytes = b"pg_durable") -> bytes:
        """Queue the preparation of a statement under a name that no other has."""
        name = b"%b_%d" % (prefix, next(self._number))
        self.prepare(name, statement)
        return name

    def execute_prepared(
        self, name: bytes, params: Sequence[bytes | None] = (), formats: Sequence[int] | None = None
    ) -> None:
        """Queue a prepared statement. Results come in text format."""
        if self.lost is None:  # as in _send, but sparing a call
            try:
                self.pg.send_query_prepared(name, params, formats)
                self._queued += 1
            except psycopg.Error as error:
                self._lose(ConnectionLost(_in_one_line(error)))

    def execute(
        self,
        statement: str,
        params: Sequence[bytes | None] = (),
        types: Sequence[int] | None = None,
        formats: Sequence[int] | None = None,
    ) -> None:
        """Queue a statement. Results come in text format."""
        self._send(self.pg.send_query_params, statement.encode(), params, types, formats)

    def part(self, *, at_once: bool) -> "asyncio.Future[Results]":
        """The answers to what is queued so far, apart from the rest, which a failure here still
        calls off. To be followed by `sync()`.

        The server sends them `at_once`, or with its next answer: that spares both sides a
        wake-up.
        """
        future: asyncio.Future[Results] = self._loop.create_future()
        self._waiting.append((future, self._queued, None))
        if at_once:
            self._send(self.pg.send_flush_request)
        self._queued = 0
        return future

    def sync(self, *, chunked: int | None = None) -> "asyncio.Future[Results]":
        """Send all that is queued; the future gives one result a statement (since `part()`).

        The rows of statement number `chunked`, counted from 0, go to `on_rows` as they come.

        The future raises ConnectionLost, or StepRefused when a statement began a COPY with the
        client; the session is closed in both cases.
        """
        future: asyncio.Future[Results] = self._loop.create_future()
        self._waiting.append((future, None, chunked))
        self._send(self._sync)
        self._queued = 0
        return future

    def close(self) -> None:
        """Close the session at once; the server stops and rolls back what it was doing."""
        if self.lost is None and self._waiting:
            # A server that computes does not look at its socket; a cancel request reaches it.
            cancel_in_server(self.pg)
        self._lose(ConnectionLost("the session was closed"))

    def _send(self, send: Callable[..., None], *arguments: object) -> None:
        # A lost connection is told by the futures, not by whoever happens to send.
        if self.lost is None:
            try:
                send(*arguments)
                self._queued += 1
            except psycopg.Error as error:
                self._lose(ConnectionLost(_in_one_line(error)))
        if self.lost is not None:
            self._fail_waiting(self.lost)

    def _sync(self) -> None:
        self.pg.pipeline_sync()
        self._flush()

    def _flush(self) -> None:
        unsent = self.pg.flush() == 1
        if unsent and not self._writing:
            self._loop.add_writer(self._socket, self._writable)
        elif self._writing and not unsent:
            self._loop.remove_writer(self._socket)
        self._writing = unsent

    def _writable(self) -> None:
        try:
            self._flush()
        except psycopg.Error as error:
            self._lose(ConnectionLost(_in_one_line(error)))

    def _readable(self) -> None:
        self._read()
        # What came before a reset is read first, and hides it; and of a socket with an error uvloop
        # tells but once. So whoever waits would do so for ever.
        while self._waiting and self._errors.poll(0):
            self._read()

    def _read(self) -> None:
        pg, waiting = self.pg, self._waiting
        try:
            pg.consume_input()
            while waiting and not pg.is_busy():
                result = pg.get_result()
                if result is None:
                    if waiting[0][2] == len(self._results):
                        self._take_chunks()
                    continue
                status = result.status
                if status in _COMPLETE:
                    self._results.append(result)
                    if len(self._results) == waiting[0][1]:
                        self._answer()
                    pg.get_result()  # the None that ends a statement: it is never waited for
                    if waiting and waiting[0][2] == len(self._results):
                        self._take_chunks()
                elif status == _SYNC:
                    self._answer()
                elif status == _ROWS and self.on_rows is not None:
                    self.on_rows(result)
                elif status in _COPYING:
                    self._lose(StepRefused("COPY from or to the client cannot be a step."))
                    return
                elif status in _FAILED and pg.status == pq.ConnStatus.BAD:
                    self._lose(ConnectionLost(_text(result.error_message)))
                    return
                else:
                    self._results.append(result)
                    if len(self._results) == waiting[0][1]:
                        self._answer()
            while self.on_notify is not None and (notify := pg.notifies()) is not None:
                self.on_notify(notify.extra)
        except psycopg.Error as error:
            self._lose(ConnectionLost(_in_one_line(error)))
        except LimitExceeded as error:
            cancel_in_server(self.pg)
            self._lose(error)

    def _take_chunks(self) -> None:
        """The next result begins, and its rows are to come in chunks."""
        if self.pg.pipeline_status != pq.PipelineStatus.ABORTED:
            self.pg.set_chunked_rows_mode(_CHUNK)

    def _answer(self) -> None:
        done, self._results = self._results, []
        future, _, _ = self._waiting.popleft()
        if not future.done():
            future.set_result(done)

    def _lose(self, why: Exception) -> None:
        if self.lost is not None:
            return
        self.lost = why
        self._loop.remove_reader(self._socket)
        if self._writing:
            self._loop.remove_writer(self._socket)
        self.pg.finish()
        self._fail_waiting(why)
        if self.on_lost is not None:
            self.on_lost()

    def _fail_waiting(self, why: Exception) -> None:
        for future, _, _ in self._waiting:
            if not future.done():
                future.set_exception(why)
                future.exception()  # with two for one caller, the second may go unread
        self._waiting.clear()


def _close_unwanted(connecting: "asyncio.Future[psycopg.AsyncConnection]") -> None:
    if not connecting.cancelled() and connecting.exception() is None:
        connecting.result().pgconn.finish()


def _in_one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _text(message: bytes) -> str:
    return " ".join(message.decode(errors="replace").split())
