"""Whoever is killed, the server stops with its last owner and comes back with its data."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Self

import psutil
import psycopg
import pytest

from pg_durable.embedded import EmbeddedServer

DEADLINE = 30.0
FAST = {"fsync": "off", "shared_buffers": "16MB"}

OWNER = """
import sys
from pathlib import Path
from pg_durable.embedded import EmbeddedServer

settings = {"fsync": "off", "shared_buffers": "16MB"}
with EmbeddedServer(Path(sys.argv[1]), settings=settings) as server:
    print(server.postmaster_pid, flush=True)
    sys.stdin.read()
"""

FORKING_OWNER = """
import os, sys
from pathlib import Path
from pg_durable.embedded import EmbeddedServer

server = EmbeddedServer(Path(sys.argv[1]))
server.start()
child = os.fork()
if child == 0:
    server.release()
    os._exit(0)
os.waitpid(child, 0)
print(server.postmaster_pid, flush=True)
server.release()
"""


class Owner:
    """A process that owns a server until its input is closed or it is killed."""

    def __init__(self, directory: Path, program: str = OWNER) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, directory],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )

    def postmaster(self) -> int:
        """Wait until the owner has started the server; return its main process."""
        assert self.process.stdout is not None
        return int(self.process.stdout.readline())

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Kill it, and whatever else is in its terminal, and wait for its end."""
        os.killpg(self.process.pid, number)
        self.process.communicate(timeout=DEADLINE)

    def leave(self) -> None:
        """Let it release the server and end."""
        self.process.communicate(timeout=DEADLINE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(ProcessLookupError, ValueError):
            self.kill()


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a server's directory, which the tests of this module use in turn."""
    return tmp_path_factory.mktemp("server")


@pytest.fixture
def server(directory: Path) -> Iterator[EmbeddedServer]:
    """Return a server that is not started; none of its processes may outlive the test."""
    server = EmbeddedServer(directory, settings=FAST)
    yield server
    server.release()
    until(lambda: not processes_of(directory))


def until(condition: Callable[[], object]) -> None:
    """Wait until the condition holds; fail when it does not in time."""
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, "the awaited did not happen in time"
        time.sleep(0.01)


def runs(pid: int) -> bool:
    """Whether the process is there and has not ended; process 1 may take its time to reap it."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def processes_of(directory: Path) -> list[psutil.Process]:
    """Return every process that works in the data directory, whatever it is called."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.cwd() == str(directory / "data"):
                found.append(process)
    return found


def keeper_of(server: EmbeddedServer) -> psutil.Process:
    """Return the process that runs the server."""
    keeper = psutil.Process(server.postmaster_pid).parent()
    assert keeper is not None
    assert "pg_durable.embedded.keeper" in keeper.cmdline()
    return keeper


def keeps(process: psutil.Process, directory: Path) -> bool:
    """Whether the process is the keeper of a directory, with a server or without."""
    with suppress(psutil.Error):
        if process.cmdline()[-1:] == ["pg_durable.embedded.keeper"]:
            return str(directory / "keeper.lock") in {file.path for file in process.open_files()}
    return False


def keeper_without_server(directory: Path) -> psutil.Process:
    """Return the keeper; a child it has just forked looks like it until it runs its program."""
    alike = {process.pid: process for process in psutil.process_iter() if keeps(process, directory)}
    [keeper] = [process for process in alike.values() if process.ppid() not in alike]
    return keeper


def write(server: EmbeddedServer, table: str) -> None:
    """Commit a row that has to survive."""
    with psycopg.connect(server.dsn()) as connection:
        connection.execute(f"create table {table} as select 42 as answer".encode())


def read(server: EmbeddedServer, table: str) -> int | None:
    """Read the row; None while the server does not answer."""
    try:
        with psycopg.connect(server.dsn()) as connection:
            row = connection.execute(f"select answer from {table}".encode()).fetchone()
    except psycopg.OperationalError:
        return None
    assert row is not None
    return int(row[0])


def test_a_server_stops_when_its_owner_is_killed(directory: Path, server: EmbeddedServer) -> None:
    with Owner(directory) as owner:
        postmaster = owner.postmaster()
        owner.kill()

    until(lambda: not runs(postmaster))

    assert "database system is shut down" in server.log_file.read_text().splitlines()[-1]


def test_a_new_owner_takes_over_while_the_server_stops(
    directory: Path, server: EmbeddedServer
) -> None:
    with Owner(directory) as owner:
        owner.postmaster()
        server.start()
        write(server, "taken_over")
        server.release()
        owner.kill()

    server.start()

    assert read(server, "taken_over") == 42


def test_an_owner_killed_does_not_stop_anothers_server(
    directory: Path, server: EmbeddedServer
) -> None:
    with Owner(directory) as owner:
        postmaster = owner.postmaster()
        server.start()
        owner.kill()

    write(server, "unharmed")

    assert read(server, "unharmed") == 42
    assert server.postmaster_pid == postmaster


def test_owners_that_start_at_once_share_one_server(
    directory: Path, server: EmbeddedServer
) -> None:
    owners = [Owner(directory) for _ in range(4)]

    started = {owner.postmaster() for owner in owners}

    assert len(started) == 1
    for owner in owners:
        assert runs(*started)
        owner.leave()
    assert not runs(*started)


def test_a_killed_keeper_takes_the_server_with_it(server: EmbeddedServer) -> None:
    server.start()
    write(server, "kept_without_keeper")
    postmaster = server.postmaster_pid
    assert postmaster is not None

    keeper_of(server).kill()

    until(lambda: not runs(postmaster))
    server.start()
    assert read(server, "kept_without_keeper") == 42


def test_a_server_whose_keeper_was_just_killed_is_started_anew(server: EmbeddedServer) -> None:
    server.start()
    write(server, "kept_at_once")
    keeper = keeper_of(server)
    keeper.kill()
    until(lambda: not runs(keeper.pid))

    server.start()

    assert read(server, "kept_at_once") == 42
    assert keeper_of(server) != keeper


def test_releasing_after_the_keeper_was_killed_waits_for_the_server(
    directory: Path, server: EmbeddedServer
) -> None:
    server.start()
    keeper_of(server).kill()

    sockets = server.socket_dir

    server.release()

    assert processes_of(directory) == []
    assert list(sockets.glob(".s.PGSQL.*")) == []


def test_a_killed_server_comes_back_with_its_data(server: EmbeddedServer) -> None:
    server.start()
    write(server, "came_back")
    first = server.postmaster_pid
    assert first is not None

    os.kill(first, signal.SIGKILL)

    until(lambda: server.postmaster_pid not in (None, first) and read(server, "came_back"))
    assert read(server, "came_back") == 42


def test_a_backend_that_hangs_on_does_not_keep_the_server_from_coming_back(
    server: EmbeddedServer,
) -> None:
    server.start()
    first = server.postmaster_pid
    assert first is not None
    hanging = psycopg.connect(server.dsn())
    backend = psutil.Process(hanging.info.backend_pid)
    backend.suspend()  # as it would be in a long computation, or in a debugger

    os.kill(first, signal.SIGKILL)

    until(lambda: server.postmaster_pid not in (None, first))
    assert not runs(backend.pid)
    hanging.close()


def test_a_server_killed_twice_comes_back_twice(server: EmbeddedServer) -> None:
    server.start()
    write(server, "came_back_twice")
    killed = {None}

    for _ in range(2):
        until(lambda: server.postmaster_pid not in killed)
        pid = server.postmaster_pid
        assert pid is not None
        killed.add(pid)  # type: ignore[arg-type]
        os.kill(pid, signal.SIGKILL)

    until(lambda: server.postmaster_pid not in killed and read(server, "came_back_twice"))
    assert read(server, "came_back_twice") == 42


def test_a_keeper_told_to_end_stops_the_server_in_order(server: EmbeddedServer) -> None:
    server.start()
    keeper = keeper_of(server)

    keeper.terminate()

    until(lambda: not runs(keeper.pid))
    assert server.postmaster_pid is None
    assert "database system is shut down" in server.log_file.read_text().splitlines()[-1]


def test_ctrl_c_in_the_owners_terminal_does_not_reach_the_server(
    directory: Path, server: EmbeddedServer
) -> None:
    with Owner(directory) as owner:
        postmaster = owner.postmaster()
        server.start()

        owner.kill(signal.SIGINT)

    assert server.postmaster_pid == postmaster
    assert os.getsid(postmaster) not in (os.getsid(0), owner.process.pid)


def test_a_running_server_keeps_nothing_of_its_owner_busy(
    directory: Path, server: EmbeddedServer
) -> None:
    with Owner(directory) as owner:
        owner.postmaster()
        server.start()

        owner.leave()  # reads the pipe to its end, which comes when nobody holds it any more

    keeper = keeper_of(server)
    assert keeper.cwd() == "/"
    assert keeper.terminal() is None
    assert keeper.children()[0].pid == server.postmaster_pid


def test_a_forked_child_cannot_give_up_its_parents_server(
    directory: Path, server: EmbeddedServer
) -> None:
    with Owner(directory, FORKING_OWNER) as owner:
        postmaster = owner.postmaster()

        owner.leave()

    assert postmaster > 0
    assert not runs(postmaster)


def test_an_owner_killed_during_initdb_leaves_a_directory_that_works(tmp_path: Path) -> None:
    with Owner(tmp_path) as owner:
        until((tmp_path / "data.new").exists)
        owner.kill()

    with EmbeddedServer(tmp_path, settings=FAST) as server:
        write(server, "after_all")

        assert read(server, "after_all") == 42
    assert not (tmp_path / "data.new").exists()


def test_a_keeper_killed_during_initdb_leaves_a_directory_that_works(tmp_path: Path) -> None:
    with Owner(tmp_path):
        until((tmp_path / "data.new").exists)
        keeper_without_server(tmp_path).kill()

    with EmbeddedServer(tmp_path, settings=FAST) as server:
        write(server, "after_all")

        assert read(server, "after_all") == 42
