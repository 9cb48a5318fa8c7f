"""The owner's side of an embedded server."""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from pg_durable.embedded.account import server_account
from pg_durable.embedded.binaries import find_binaries
from pg_durable.embedded.contract import Plan, start_keeper
from pg_durable.embedded.locks import (
    EXCLUSIVE,
    SHARED,
    is_held,
    lock,
    locked,
    open_lock,
    try_lock,
    unlock,
)
from pg_durable.embedded.places import Places
from pg_durable.embedded.processes import Postmaster, end_leftovers, running_postmaster
from pg_durable.errors import EmbeddedError

# Recovery after a crash may take long; a server that is about to fail says so at once.
_START_PATIENCE = 600.0
_STOP_PATIENCE = 120.0
_POLL = 0.01


class EmbeddedServer:
    """A PostgreSQL server in a directory, shared by all who own it; a context manager.

    The server runs from the first `start` until the last owner has called `release` or
    ended, be it by SIGKILL. Only the operating-system user who starts it can connect, and
    may do so as any role; `postgres` is the superuser.

    Args:
        directory: where data, logs and locks are; see `default_directory`.
        bin_dir: where initdb and postgres are; see `find_binaries`.
        listen: `listen_addresses` for TCP, with passwords (SCRAM); None for none.
        port: the TCP port; also in the socket's name.
        settings: more server settings, such as {"work_mem": "64MB"}, or {"fsync": "off"} for
            data that need not survive a power cut. Like `listen` and `port` they count for
            the owner that starts the server; later ones join it as it is.
    """

    def __init__(
        self,
        directory: Path | None = None,
        *,
        bin_dir: Path | None = None,
        listen: str | None = None,
        port: int = 5432,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self._places = Places.of(directory)
        self._bin_dir = bin_dir
        self._listen = listen
        self._port = port
        self._settings = dict(settings or {})
        self._ownership: int | None = None  # the descriptor that holds the shared lock
        self._owner_pid = 0
        self._last_known: Postmaster | None = None

    def start(self) -> None:
        """Own the server, and return when it accepts connections.

        Called again, it does nothing, or starts the server anew if its keeper was killed.

        Raises:
            EmbeddedError: it cannot be set up or started; the message says what was wrong.
        """
        try:
            self._places.make()
            joined = self._own()
            try:
                self._bring_up()
            except BaseException:
                if joined:
                    self._disown()
                raise
        except OSError as error:
            raise EmbeddedError(
                f"The embedded server in {self.directory} cannot be set up: {error}"
            ) from error

    def release(self) -> None:
        """Give up ownership. If nobody else owns the server, return when it has stopped.

        Raises:
            EmbeddedError: it did not stop in two minutes.
        """
        if self._ownership is None:
            return
        if self._owner_pid != os.getpid():  # forked: the ownership is our parent's to give up
            self._disown()
            return
        ours = self._ownership
        try:
            unlock(ours)
            if self.directory.is_dir():
                with locked(self._places.turn_lock):
                    self._wait_until_stopped_or_owned(ours)
        finally:
            self._disown()

    def dsn(self, database: str = "postgres", user: str = "postgres") -> str:
        """Return a libpq connection string for any database and role of the started server."""
        return _dsn(self._postmaster(), database, user)

    @property
    def directory(self) -> Path:
        """The directory everything is in; absolute."""
        return self._places.directory

    @property
    def data_dir(self) -> Path:
        """PostgreSQL's data directory."""
        return self._places.data

    @property
    def log_file(self) -> Path:
        """What PostgreSQL says; the keeper's own words are in keeper.log beside it."""
        return self._places.server_log

    @property
    def socket_dir(self) -> Path:
        """The directory of the started server's socket."""
        return self._postmaster().socket_dir

    @property
    def postmaster_pid(self) -> int | None:
        """The pid of the server's main process, or None while there is none."""
        running = running_postmaster(self.data_dir)
        return running.pid if running else None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def _postmaster(self) -> Postmaster:
        """Return where the server is, or was before the restart it may be in."""
        self._last_known = running_postmaster(self.data_dir) or self._last_known
        if self._last_known is None:
            raise EmbeddedError(
                f"No server runs in {self.directory}.", hint="Call start() before using it."
            )
        return self._last_known

    def _own(self) -> bool:
        """Take the shared lock, after a server that is stopping has stopped; True if new."""
        if self._ownership is not None and self._owner_pid == os.getpid():
            return False
        self._disown()
        ownership = open_lock(self._places.owners_lock)
        try:
            lock(ownership, SHARED)
        except BaseException:
            os.close(ownership)
            raise
        self._ownership, self._owner_pid = ownership, os.getpid()
        return True

    def _disown(self) -> None:
        if self._ownership is not None:
            os.close(self._ownership)
            self._ownership = None

    def _bring_up(self) -> None:
        """See to it that a keeper is at work and its server answers.

        Owners take turns, so that none asks for the keeper while another starts it. If a
        keeper got lost between two owners' turns, the next round starts another.
        """
        give_up = time.monotonic() + _START_PATIENCE
        with locked(self._places.turn_lock):
            while time.monotonic() < give_up:
                if not is_held(self._places.keeper_lock):
                    start_keeper(self._plan(), give_up - time.monotonic())
                elif self._answers():
                    return
                else:
                    time.sleep(_POLL)
        raise EmbeddedError(
            f"The server in {self.directory} does not accept connections yet.",
            hint=f"See {self.log_file}; starting again goes on waiting.",
        )

    def _answers(self) -> bool:
        # Imported late, as the keeper loads this module too and has no use for libpq.
        from psycopg.pq import PGconn, Ping

        running = running_postmaster(self.data_dir)
        if running is None or not running.ready:
            return False
        self._last_known = running
        dsn = f"{_dsn(running, 'postgres', 'postgres')} connect_timeout=5"
        return PGconn.ping(dsn.encode()) == Ping.OK

    def _plan(self) -> Plan:
        return Plan(
            places=self._places,
            binaries=find_binaries(self._bin_dir),
            listen=self._listen,
            port=self._port,
            settings=self._settings,
        )

    def _wait_until_stopped_or_owned(self, ours: int) -> None:
        """Wait until the server has stopped, or return at once if others own it.

        Either somebody holds the lock shared and it is theirs, or the keeper holds it
        exclusively and is stopping, or nobody holds it and the keeper is about to.
        """
        give_up = time.monotonic() + _STOP_PATIENCE
        while time.monotonic() < give_up:
            if try_lock(ours, EXCLUSIVE):
                if not is_held(self._places.keeper_lock):  # it has stopped, or was killed
                    end_leftovers(self.data_dir)
                    self._places.remove_socket_directory(server_account(self.data_dir))
                    return
                unlock(ours)
            elif try_lock(ours, SHARED):
                return
            time.sleep(_POLL)
        raise EmbeddedError(
            f"The server in {self.directory} is still stopping.", hint=f"See {self.log_file}."
        )


def running_dsn(directory: Path | None = None) -> str | None:
    """Return a connection string of the server running in `directory`, without owning it.

    None if there is none, or it is not ready. The server may stop at any time after.
    """
    running = running_postmaster(Places.of(directory).data)
    return _dsn(running, "postgres", "postgres") if running and running.ready else None


def _dsn(postmaster: Postmaster, database: str, user: str) -> str:
    from psycopg.conninfo import make_conninfo

    return make_conninfo(
        host=str(postmaster.socket_dir), port=postmaster.port, dbname=database, user=user
    )
