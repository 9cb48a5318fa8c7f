"""The keeper: a process of its own that runs one server for as long as it has owners.

It is PostgreSQL's parent and nobody's child: in its own session, without the terminal,
pipes or working directory of the owner that started it. It learns that the last owner is
gone, however it went, by getting the exclusive lock on what each owner holds shared.

    python -m pg_durable.embedded.keeper < plan.json    and one JSON answer
"""

import enum
import logging
import os
import queue
import signal
import sys
import threading
import time
from dataclasses import replace
from types import FrameType

from pg_durable.embedded.account import server_account
from pg_durable.embedded.binaries import usable_by
from pg_durable.embedded.cluster import Cluster
from pg_durable.embedded.contract import Answer, Plan, let_go
from pg_durable.embedded.locks import EXCLUSIVE, lock, open_lock, try_lock
from pg_durable.embedded.processes import end_leftovers, read_postmaster_file, shut_down
from pg_durable.errors import EmbeddedError

_POLL = 0.01
_FIRST_DELAY, _LONGEST_DELAY = 0.5, 30.0  # seconds before a server that keeps dying is restarted
_LONG_RUN = 60.0
_LARGEST_LOG = 16 * 1024 * 1024
_LOG_LINES = 10


class Event(enum.Enum):
    """What happens to a keeper."""

    STOP = "nobody owns the server any more, or we are told to end"
    ENDED = "the server ended"


Events = queue.SimpleQueue[Event]


class Keeper:
    """Runs one server: starts it, starts it again when it dies, stops it."""

    def __init__(self, plan: Plan, events: Events) -> None:
        self._places = plan.places
        self._events = events
        self._stopping = False
        self._ending: threading.Thread | None = None
        self._port = plan.port
        self._account = server_account(plan.places.data)
        binaries = usable_by(self._account, plan.binaries)
        self._cluster = Cluster(replace(plan, binaries=binaries), self._account)

    def start(self) -> None:
        """Bring the server up; return when it accepts connections or nobody wants it any more."""
        self._end_leftovers()
        self._cluster.prepare()
        self._run_server()

    def run(self) -> None:
        """Keep the server up until it is to stop, restarting it with growing patience."""
        delay = 0.0
        since = time.monotonic()
        while not self._stopping:
            if self._next_event(None) is not Event.ENDED:
                continue
            if time.monotonic() - since > _LONG_RUN:
                delay = 0.0
            logging.warning("The server ended; it is started again in %s s.", delay)
            restart_at = time.monotonic() + delay
            while not self._stopping and (left := restart_at - time.monotonic()) > 0:
                self._next_event(left)
            delay = min(max(delay * 2, _FIRST_DELAY), _LONGEST_DELAY)
            since = time.monotonic()
            try:
                self._run_server()
            except (EmbeddedError, OSError) as error:
                logging.error("%s", error)
                self._events.put(Event.ENDED)

    def stop(self) -> None:
        """Stop the server if it runs, and leave nothing behind but its directory."""
        if self._ending is not None and self._ending.is_alive():
            ending, postmaster = self._ending, self._postmaster

            def ended(patience: float) -> bool:
                ending.join(patience)
                return not ending.is_alive()

            shut_down(postmaster.send_signal, ended)
        self._end_leftovers()
        self._places.remove_socket_directory(self._account)

    def _run_server(self) -> None:
        """Start postgres and wait until it is ready.

        The main thread does it, for the server is signalled when the thread that started
        it ends, not when the process does.
        """
        if self._stopping:
            return
        self._end_leftovers()
        socket_dir = self._places.make_socket_directory(self._account, self._port)
        log = self._open_log()
        try:
            said_before = os.fstat(log).st_size
            self._postmaster = self._cluster.launch(socket_dir, log)
        finally:
            os.close(log)
        self._ending = threading.Thread(target=self._wait_for_end, daemon=True)
        self._ending.start()
        while not self._stopping and not self._is_ready():
            if self._next_event(_POLL) is Event.ENDED:
                raise EmbeddedError(
                    f"PostgreSQL in {self._places.directory} ended while starting "
                    f"(status {self._postmaster.returncode}). Its log says:",
                    hint=self._log_tail(said_before),
                )

    def _is_ready(self) -> bool:
        written = read_postmaster_file(self._cluster.data)
        return written is not None and written.pid == self._postmaster.pid and written.ready

    def _wait_for_end(self) -> None:
        self._postmaster.wait()
        self._events.put(Event.ENDED)

    def _next_event(self, patience: float | None) -> Event | None:
        try:
            event = self._events.get(timeout=patience)
        except queue.Empty:
            return None
        self._stopping |= event is Event.STOP
        return event

    def _end_leftovers(self) -> None:
        """End earlier servers, and remove the lock file they may have left.

        PostgreSQL would take any living process with the pid in it for a server.
        """
        end_leftovers(self._cluster.data)
        (self._cluster.data / "postmaster.pid").unlink(missing_ok=True)

    def _open_log(self) -> int:
        log = self._places.server_log
        if log.exists() and log.stat().st_size > _LARGEST_LOG:
            log.replace(log.with_name("server.log.old"))
        return os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)

    def _log_tail(self, start: int) -> str:
        with self._places.server_log.open("rb") as log:
            log.seek(start)
            said = log.read().decode(errors="replace").strip().splitlines()
        return "\n".join(said[-_LOG_LINES:]) or "nothing."


def main() -> int:
    """Run as the process an owner starts: read the plan, detach, keep the server."""
    plan = Plan.from_json(sys.stdin.read())
    if os.fork() != 0:  # the owner's child ends here, so it has no child to wait for later
        os._exit(0)
    let_go(0)
    os.umask(0o077)
    logging.basicConfig(format="%(asctime)s [%(process)d] %(message)s", level=logging.INFO)
    answer = Answer()
    ours = open_lock(plan.places.keeper_lock)
    if not try_lock(ours, EXCLUSIVE):
        answer.busy()
        return 0
    try:
        _keep(plan, answer)
    except EmbeddedError as error:
        failure = error
    except Exception as error:
        logging.exception("The keeper failed.")
        failure = EmbeddedError(f"The server in {plan.places.directory} cannot be run: {error!r}")
    else:
        return 0
    logging.error("%s", failure)
    os.close(ours)  # first the lock, then the word: whoever hears it may try again at once
    answer.failed(failure)
    return 1


def _keep(plan: Plan, answer: Answer) -> None:
    events: Events = queue.SimpleQueue()
    _watch_owners(plan, events)
    keeper = Keeper(plan, events)
    try:
        keeper.start()
        answer.ready()
        keeper.run()
    finally:
        keeper.stop()


def _watch_owners(plan: Plan, events: Events) -> None:
    """Turn the end of ownership, and signals to end, into events.

    The exclusive lock is kept until the process ends, so that a new owner waits until
    the server has stopped.
    """
    owners = open_lock(plan.places.owners_lock)

    def wait() -> None:
        lock(owners, EXCLUSIVE)
        events.put(Event.STOP)

    def told_to_end(_number: int, _frame: FrameType | None) -> None:
        events.put(Event.STOP)  # SimpleQueue.put may interrupt itself

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, told_to_end)
    threading.Thread(target=wait, daemon=True).start()


if __name__ == "__main__":
    sys.exit(main())
