"""Why a server lets a role not in, whatever language it speaks.

libpq gives no SQLSTATE for a login that failed, only words, and they are in the server's
language. The trace of the protocol has the SQLSTATE.
"""

import re
import select
import tempfile
import time

import psycopg
from psycopg import pq

_PATIENCE = 30.0  # seconds
_READY = (pq.PollingStatus.OK, pq.PollingStatus.FAILED)
_SQLSTATE = re.compile(rb'\sErrorResponse\s.*? C "(\w{5})"')
_REFUSED = "28P01"  # also where the server asks for a password, and there is none


def sqlstate_of_refusal(conninfo: str) -> str | None:
    """Try to log in once more; the SQLSTATE with which the server refuses it.

    None where it lets us in now, does not answer, or libpq cannot trace. Blocks.
    """
    with tempfile.TemporaryFile() as trace:
        pgconn = pq.PGconn.connect_start(conninfo.encode())
        try:
            pgconn.trace(trace.fileno())
            _connect(pgconn)
            pgconn.untrace()
            wanted = pgconn.needs_password
        except (NotImplementedError, psycopg.Error):  # libpq traces on Linux only
            return None
        finally:
            pgconn.finish()
        trace.seek(0)
        found = _SQLSTATE.findall(trace.read())
    if found:
        return bytes(found[-1]).decode()
    return _REFUSED if wanted else None


def _connect(pgconn: pq.abc.PGconn) -> None:
    end = time.monotonic() + _PATIENCE
    while (state := pgconn.connect_poll()) not in _READY and time.monotonic() < end:
        sockets = [pgconn.socket]
        reading = state == pq.PollingStatus.READING
        select.select(sockets if reading else [], [] if reading else sockets, [], 1.0)
