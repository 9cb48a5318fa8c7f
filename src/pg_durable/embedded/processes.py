"""Which processes serve a data directory, and how they are ended.

A pid on its own proves nothing: the file postmaster.pid outlives a killed server, and its
number may be anybody's by now, even another server's. A process is taken for one of ours
only if it is called postgres, belongs to the data directory's owner, and works in that
very directory, which every PostgreSQL process enters and never leaves.
"""

import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from pg_durable.errors import EmbeddedError

# Fast shutdown, then immediate shutdown, then no more asking; with seconds to comply.
_ENDING = ((signal.SIGINT, 60.0), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 10.0))
_POLL = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Postmaster:
    """What postmaster.pid says."""

    pid: int
    port: int
    socket_dir: Path
    ready: bool


def read_postmaster_file(data: Path) -> Postmaster | None:
    """Read postmaster.pid; None if it is not there, not for us, or not written to its end."""
    try:
        descriptor = os.open(data / "postmaster.pid", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        lines = os.fsdecode(file.read(16384)).split("\n")
    if len(lines) < 8 or not lines[4]:  # the socket is written down after the pid
        return None
    try:
        return Postmaster(
            pid=int(lines[0]),
            port=int(lines[3]),
            socket_dir=Path(lines[4]),
            ready=lines[7].strip() == "ready",
        )
    except ValueError:
        return None


def running_postmaster(data: Path) -> Postmaster | None:
    """Return the live server of this data directory, whether it accepts connections or not."""
    postmaster = read_postmaster_file(data)
    if postmaster is None:
        return None
    try:
        serves = _serves(psutil.Process(postmaster.pid), data.stat())
    except (psutil.Error, OSError, ValueError):
        return None
    return postmaster if serves else None


def end_leftovers(data: Path) -> None:
    """End every process of an earlier server of this data directory.

    A postmaster that lost its keeper is shut down in order. Backends that lost their
    postmaster are killed: they hold the old shared memory, and a new server would not
    start, or not safely, beside them. Nothing committed is lost either way.

    Raises:
        EmbeddedError: some process would not go.
    """
    if not data.is_dir():
        return
    for process in _parents_among(_servers_of(data)):
        _end_in_order(process)
    orphans = _servers_of(data)
    for process in orphans:
        _send(process, signal.SIGKILL)
    alive = [process for process in orphans if not _has_ended(process, _ENDING[-1][1])]
    if alive:
        pids = ", ".join(str(process.pid) for process in alive)
        raise EmbeddedError(
            f"Processes of an earlier server in {data} cannot be ended (pid {pids}).",
            hint="They may hang in the kernel, on a lost disk for instance; a restart ends them.",
        )


def shut_down(send: Callable[[signal.Signals], None], ended: Callable[[float], bool]) -> None:
    """Shut a postmaster down: politely, then firmly, then by force.

    `send` sends a signal; `ended` waits up to some seconds and tells whether it has ended.
    """
    for number, patience in _ENDING:
        send(number)
        if ended(patience):
            return


def _end_in_order(process: psutil.Process) -> None:
    shut_down(
        lambda number: _send(process, number),
        lambda patience: _has_ended(process, patience),
    )


def _has_ended(process: psutil.Process, patience: float) -> bool:
    """Wait up to some seconds for the end of a process that is no child of ours.

    A zombie has ended: whether and when it is reaped is up to a process 1 that, in a
    container, may never do so.
    """
    give_up = time.monotonic() + patience
    with suppress(psutil.NoSuchProcess):
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            if time.monotonic() > give_up:
                return False
            time.sleep(_POLL)
    return True


def _servers_of(data: Path) -> list[psutil.Process]:
    directory = data.stat()
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):  # gone, a zombie, or none of our business
            if _serves(process, directory):
                found.append(process)
    return found


def _parents_among(found: list[psutil.Process]) -> list[psutil.Process]:
    """Return the postmasters: no other PostgreSQL process has children that serve its data."""
    parents = set()
    for process in found:
        with suppress(psutil.NoSuchProcess):
            parents.add(process.ppid())
    return [process for process in found if process.pid in parents]


def _serves(process: psutil.Process, directory: os.stat_result) -> bool:
    if process.name() != "postgres" or process.uids().real != directory.st_uid:
        return False
    # Following the kernel's link, instead of reading it, tells our directory from one of
    # the same name in a container.
    linux = sys.platform == "linux"
    cwd = Path(f"/proc/{process.pid}/cwd" if linux else process.cwd())
    return os.path.samestat(cwd.stat(), directory)


def _send(process: psutil.Process, number: signal.Signals) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)
