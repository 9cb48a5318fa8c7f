"""One command, several processes: each works as the command alone would.

Python runs on one core at a time, so a machine with more of them needs more processes.
"""

import logging
import os
import signal
import time
from types import FrameType

from pg_durable.cli.lifeline import end_with

log = logging.getLogger(__name__)

_PAUSE = 1.0  # seconds before one that was killed is begun anew


def split_up(number: int) -> None:
    """Go on in `number` new processes; 0: one for each core. Returns in each of these.

    This one stays behind: it passes SIGTERM and Ctrl-C on, begins anew what is killed, and exits
    when all have, with the code of the first that failed, which ends the others. However it
    dies itself, they end with it.
    """
    Parent(number or _cores()).run()


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):  # those that this process may use; not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Parent:
    """What stays behind."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._children: set[int] = set()
        self._stopping = False
        self._is_child = False
        self._read_end, self._write_end = os.pipe()

    def run(self) -> None:
        """Begin the processes, and watch over them. Returns in each of them."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        while len(self._children) < self._number:
            self._fork()
            if self._is_child:
                return

        code = 0
        while self._children:
            pid, status = os.wait()
            self._children.discard(pid)
            ended = os.waitstatus_to_exitcode(status)
            if ended >= 0:
                code = code or ended
                self._stop()
            elif not self._stopping:
                log.warning("process %d was killed by signal %d: another begins", pid, -ended)
                time.sleep(_PAUSE)
                if not self._stopping:
                    self._fork()
                if self._is_child:
                    return
        raise SystemExit(code)

    def _fork(self) -> None:
        pid = os.fork()
        if pid:
            self._children.add(pid)
            if self._stopping:  # since a moment ago
                os.kill(pid, signal.SIGTERM)
            return
        self._is_child = True
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        os.setpgid(0, 0)  # Ctrl-C is passed on, and would come twice
        os.close(self._write_end)
        end_with(self._read_end)

    def _stop(self, number: int | None = None, frame: FrameType | None = None) -> None:
        self._stopping = True
        for pid in self._children:
            os.kill(pid, signal.SIGTERM)
