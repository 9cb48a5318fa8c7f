"""Asking a server to stop what a session of it does.

The request is a connection of its own. libpq's simple call for it (PQcancel) blocks until the
server answers, and holds up all threads of Python: a vanished server would freeze the worker.
"""

import asyncio
import contextlib

import psycopg
from psycopg import capabilities, generators, waiting
from psycopg.pq.abc import PGcancel, PGcancelConn, PGconn

_PATIENCE = 5.0  # seconds
_INTERVAL = 0.1

_requests: set[asyncio.Task[None]] = set()


def cancel_in_server(session: PGconn) -> None:
    """Send a request soon; the session may be closed meanwhile. Whether it helps is not known."""
    with contextlib.suppress(psycopg.Error):
        if capabilities.has_cancel_safe():
            connection = session.cancel_conn()
            connection.start()
            request = _send(connection)
        else:
            request = _send_by_thread(session.get_cancel())
        task = asyncio.get_running_loop().create_task(request)
        _requests.add(task)
        task.add_done_callback(_requests.discard)


async def cancel_requests_sent() -> None:
    """Wait until no request is under way any more, for a few seconds at most."""
    here = asyncio.get_running_loop()
    ours = [request for request in _requests if request.get_loop() is here]
    if ours:
        await asyncio.wait(ours, timeout=_PATIENCE)


async def _send(connection: PGcancelConn) -> None:
    with contextlib.suppress(psycopg.Error):
        sending = generators.cancel(connection)
        await waiting.wait_conn_async(sending, interval=_INTERVAL, timeout=_PATIENCE)


async def _send_by_thread(cancel: PGcancel) -> None:
    with contextlib.suppress(psycopg.Error):
        await asyncio.to_thread(cancel.cancel)
