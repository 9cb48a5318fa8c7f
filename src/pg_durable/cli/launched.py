"""launched: what the server's launcher runs; it becomes a worker of that server.

Its working directory is the server's data directory, where postmaster.pid tells how the server is
reached and when it stops. All other settings the worker reads from the databases, as any does.
"""

import ctypes
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from pg_durable.cli.lifeline import end_with_input
from pg_durable.errors import InvalidWorkflow

_PR_SET_PDEATHSIG = 1
_LOOK_INTERVAL = 1.0  # seconds
_GRACE = 20.0  # seconds; it takes 15 at most
# Lines of postmaster.pid, from 0.
_PORT, _SOCKET_DIRECTORY, _ADDRESS, _STATUS = 3, 4, 5, 7
_THIS_MACHINE = {"": "localhost", "*": "localhost", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104
# Of libpq's variables, these say nothing of another server, or of another way to speak to it.
_HARMLESS = ("PGPASSFILE", "PGSSLCERT", "PGSSLKEY", "PGSSLROOTCERT")
_NAME = re.compile(r'"((?:[^"]|"")+)"|([^\s,](?:[^,]*[^\s,])?)')


def launched(role: str, databases: str) -> None:
    """Run the workflows of the databases in a list, as a role. For the server's launcher only."""
    from pg_durable.cli.serve import worker

    os.closerange(3, 65536)  # what the server has open
    for number in signal.valid_signals() - {signal.SIGPIPE}:  # which Python ignores itself
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    end_with_input()
    if sys.platform == "linux":  # and if that does not work any more, the kernel does it
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    for name in [name for name in os.environ if misleads(name)]:
        del os.environ[name]

    _wait_until_stopping(False)
    threading.Thread(target=_stop_with_server, name="server", daemon=True).start()
    dsns = own_dsns(_postmaster_file(), role, databases)
    worker(dsns, wait_for_server=True, wait_for_schema=True)


def names_in(text: str) -> list[str]:
    """The names in a list as the server reads it: separated by commas, perhaps in double quotes."""
    return [quoted.replace('""', '"') or plain for quoted, plain in _NAME.findall(text)]


def own_dsns(postmaster: Sequence[str], role: str, databases: str) -> list[str]:
    """How the worker connects: through the first socket directory, else the first address.

    Args:
        postmaster: the lines of postmaster.pid.
        role: who logs in.
        databases: a list of names.

    Raises:
        InvalidWorkflow: there is no name in the list.
    """
    from psycopg.conninfo import make_conninfo

    names = names_in(databases)
    if not names:
        raise InvalidWorkflow(f"pg_durable.database is {databases!r}, which names no database.")
    if directory := postmaster[_SOCKET_DIRECTORY]:
        host = str(Path(directory).absolute())
    else:
        host = _THIS_MACHINE.get(postmaster[_ADDRESS], postmaster[_ADDRESS])
    port = postmaster[_PORT]
    return [make_conninfo("", host=host, port=port, user=role, dbname=name) for name in names]


def misleads(variable: str) -> bool:
    """Whether it would be taken for another server, or for another way to speak to it."""
    if variable.startswith("PG_DURABLE_"):
        return variable == "PG_DURABLE_DSN"
    return variable.startswith("PG") and variable not in _HARMLESS


def _stop_with_server() -> None:
    """A smart shutdown waits for all sessions, the worker's too, and tells nobody but the file."""
    _wait_until_stopping(True)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE)
    os.kill(os.getpid(), signal.SIGKILL)


def _wait_until_stopping(wanted: bool) -> None:
    while (_postmaster_file()[_STATUS].strip() == "stopping") != wanted:
        time.sleep(_LOOK_INTERVAL)


def _postmaster_file() -> list[str]:
    """The lines of postmaster.pid; empty ones where it has been removed.

    Its whole path may lead through directories that the server's user cannot enter.
    """
    try:
        lines = os.fsdecode(Path("postmaster.pid").read_bytes()).splitlines()
    except FileNotFoundError:
        lines = []
    return [*lines, *[""] * (_STATUS + 1 - len(lines))]
