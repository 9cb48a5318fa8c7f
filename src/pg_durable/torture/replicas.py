"""A primary and its standby on one machine, to kill the one and promote the other.

Both are servers in directories of their own, without a keeper: a primary that was killed stays
dead, as if its machine had been cut off (fenced), until it is made anew as a standby.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil
import psycopg
from psycopg.conninfo import make_conninfo

from pg_durable.embedded.account import server_account
from pg_durable.embedded.binaries import find_binaries, usable_by
from pg_durable.embedded.children import start_child
from pg_durable.embedded.cluster import Cluster
from pg_durable.embedded.contract import Plan
from pg_durable.embedded.places import Places
from pg_durable.embedded.processes import end_leftovers, read_postmaster_file

_SETTINGS = {
    # A SIGKILL loses nothing of what the kernel has; only a power cut would.
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "wal_receiver_status_interval": "1s",
    "wal_retrieve_retry_interval": "100ms",
}
_PORT = 5432
_PATIENCE = 120.0  # seconds that a busy machine may take for anything
_POLL = 0.02
_SLOT = "standby"
_STREAMING = "select sync_state from pg_stat_replication where state = 'streaming'"


class Node:
    """One of the two servers."""

    def __init__(self, directory: Path, settings: Mapping[str, str]) -> None:
        self._places = Places.of(directory)
        self._places.make()
        self._account = server_account(self._places.data)
        self._plan = Plan(
            places=self._places,
            binaries=usable_by(self._account, find_binaries()),
            listen=None,
            port=_PORT,
            settings=settings,
        )
        self._cluster = Cluster(self._plan, self._account)
        self.socket_directory = self._places.make_socket_directory(self._account, _PORT)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log_file(self) -> Path:
        """What the server says."""
        return self._places.server_log

    def dsn(self, database: str = "postgres", user: str = "postgres") -> str:
        """This server alone, whether it runs or not, and whatever it is."""
        return make_conninfo(
            host=str(self.socket_directory), port=_PORT, dbname=database, user=user
        )

    def session(self, database: str = "postgres") -> psycopg.Connection[Any]:
        """A session of the superuser, in autocommit mode."""
        return psycopg.connect(self.dsn(database), autocommit=True)

    def start(self) -> None:
        """Start it, with an empty cluster if it has none, and wait until it accepts connections.

        To be called from the main thread: a server ends with the thread that has started it.
        """
        self._cluster.prepare()
        (self._places.data / "postmaster.pid").unlink(missing_ok=True)
        log = os.open(self.log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            self._process = self._cluster.launch(self.socket_directory, log)
        finally:
            os.close(log)
        self._wait_for(self._answers)

    def kill(self) -> None:
        """SIGKILL of the postmaster and all its children, as if the machine had gone."""
        if self._process is None:
            return
        with suppress(psutil.NoSuchProcess):
            postmaster = psutil.Process(self._process.pid)
            postmaster.send_signal(signal.SIGSTOP)  # it starts no more children
            for process in (*postmaster.children(), postmaster):
                with suppress(psutil.NoSuchProcess):
                    process.kill()
        self._process.wait()
        end_leftovers(self._places.data)
        self._process = None

    def promote(self) -> None:
        """Make a standby the primary."""
        with self.session() as session:
            session.execute("select pg_promote(wait => false)")
            self._wait_for(lambda: _value(session, "select not pg_is_in_recovery()"))

    def copy(self, primary: "Node") -> None:
        """Become a standby of a running primary, whatever was here before."""
        shutil.rmtree(self._places.data, ignore_errors=True)
        self._places.data.mkdir(mode=0o700)
        if self._account.borrowed:
            os.chown(self._places.data, self._account.uid, self._account.gid)
        copying = start_child(
            self._account,
            [
                self._plan.binaries.program("pg_basebackup"),
                f"--dbname={primary.dsn()}",
                f"--pgdata={self._places.data}",
                "--checkpoint=fast",
                "--no-sync",
                "--write-recovery-conf",
                "--create-slot",
                f"--slot={_SLOT}",
            ],
            output=subprocess.PIPE,
            at_our_death=signal.SIGKILL,
        )
        said, _ = copying.communicate(timeout=_PATIENCE)
        if copying.returncode != 0:
            raise RuntimeError(f"pg_basebackup failed: {said.decode(errors='replace')}")

    def remove(self) -> None:
        """Kill it, and leave no file."""
        self.kill()
        self._places.remove_socket_directory(self._account)

    def _answers(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            raise RuntimeError(f"The server ended: {self.log_file.read_text()[-2000:]}")
        written = read_postmaster_file(self._places.data)
        if written is None or not written.ready:
            return False
        with suppress(psycopg.OperationalError), self.session():
            return True
        return False

    def _wait_for(self, condition: Any) -> None:
        wait_for(condition, f"of the server in {self._places.directory}")


class Replicas:
    """Two servers with the same data; a context manager. Nothing that `primary` acknowledged is
    missing on `standby` while that is synchronous.

    Args:
        settings: more server settings.
        synchronous: whether commits wait for the standby.
    """

    def __init__(
        self, *, settings: Mapping[str, str] | None = None, synchronous: bool = True
    ) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="pg_durable_replicas_"))
        self._directory.chmod(0o755)
        self._synchronous = synchronous
        given = _SETTINGS | dict(settings or {})
        self.nodes = tuple(Node(self._directory / name, given) for name in ("a", "b"))
        self.primary, self._other = self.nodes
        self.failovers = 0

    def start(self) -> None:
        """Start both, and return when the one follows the other."""
        self.primary.start()
        self.rebuild()

    def dsn(self, database: str = "postgres", user: str = "postgres") -> str:
        """Both servers, in an order that stays; whoever connects has to find the primary."""
        return make_conninfo(
            host=",".join(str(node.socket_directory) for node in self.nodes),
            port=_PORT,
            dbname=database,
            user=user,
        )

    @property
    def standby(self) -> Node:
        """The server that is not the primary: its standby, or what was killed."""
        return self._other

    def fail_over(self) -> None:
        """Kill the primary and promote the standby."""
        self.primary.kill()
        self._other.promote()
        self.primary, self._other = self._other, self.primary
        self.failovers += 1

    def rebuild(self) -> None:
        """Make the other server a standby of the primary, by a new copy of its data."""
        with self.primary.session() as session:
            # Until there is one, commits must not wait for it.
            session.execute("alter system reset synchronous_standby_names")
            session.execute("select pg_reload_conf()")
            session.execute(
                "select pg_drop_replication_slot(slot_name) from pg_replication_slots"
                " where slot_name = %s",
                [_SLOT],
            )
            self._other.copy(self.primary)
            self._other.start()
            if self._synchronous:
                session.execute("alter system set synchronous_standby_names = '*'")
                session.execute("select pg_reload_conf()")
            wanted = "sync" if self._synchronous else "async"
            wait_for(
                lambda: _value(session, _STREAMING) == wanted,
                "for the standby to follow the primary",
            )

    def stop(self) -> None:
        """Kill both, and remove their files."""
        for node in self.nodes:
            node.remove()
        shutil.rmtree(self._directory, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def wait_for(condition: Any, what: str) -> None:
    """Return when the condition holds.

    Raises:
        TimeoutError: it does not in two minutes.
    """
    give_up = time.monotonic() + _PATIENCE
    while not condition():
        if time.monotonic() > give_up:
            raise TimeoutError(f"Waited {_PATIENCE:.0f} s {what}.")
        time.sleep(_POLL)


def _value(session: psycopg.Connection[Any], query: str) -> object:
    row = session.execute(query).fetchone()
    return row[0] if row else None
