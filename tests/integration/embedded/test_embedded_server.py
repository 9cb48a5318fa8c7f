"""What an embedded server does for its owner, on a calm day."""

import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from pg_durable.embedded import EmbeddedServer, running_dsn
from pg_durable.embedded.account import server_account
from pg_durable.embedded.children import start_child
from pg_durable.embedded.places import Places
from pg_durable.errors import EmbeddedError

Start = Callable[..., EmbeddedServer]
Ask = Callable[[str, str], object]


def test_a_new_directory_becomes_a_server(tmp_path: Path, start: Start, ask: Ask) -> None:
    directory = tmp_path / "not" / "there" / "yet"

    server = start(directory)

    assert ask(server.dsn(), "show server_encoding") == "UTF8"
    assert ask(server.dsn(), "select lower('ÄÖ') || current_user") == "äöpostgres"
    assert ask(server.dsn(), "show data_checksums") == "on"
    assert ask(server.dsn(), "show max_connections") == "200"
    assert ask(server.dsn(), "show listen_addresses") == ""
    assert ask(server.dsn(), "show pg_durable.enable_superuser_instances") == "on"


def test_data_survive_a_stop_and_a_start(directory: Path, start: Start, ask: Ask) -> None:
    server = start(directory)
    ask(server.dsn(), "create database survivor")
    ask(server.dsn("survivor"), "create table kept as select 42 as answer")
    server.release()

    server.start()

    assert ask(server.dsn("survivor"), "select answer from kept") == 42


def test_starting_twice_starts_one_server(directory: Path, start: Start) -> None:
    server = start(directory)
    first = server.postmaster_pid

    server.start()

    assert first is not None
    assert server.postmaster_pid == first


def test_the_second_owner_joins_and_the_last_one_stops_the_server(
    directory: Path, start: Start, ask: Ask
) -> None:
    first = start(directory)
    second = start(directory, port=6543, settings={"work_mem": "1MB"})

    first.release()

    assert ask(second.dsn(), "show port") == "5432"
    second.release()
    assert second.postmaster_pid is None


def test_a_released_server_has_stopped_in_order(directory: Path, start: Start) -> None:
    server = start(directory)
    dsn = server.dsn()
    said_before = len(server.log_file.read_text())

    server.release()

    assert "database system is shut down" in server.log_file.read_text()[said_before:]
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(dsn)


def test_a_running_server_is_found_without_owning_it(
    directory: Path, start: Start, ask: Ask
) -> None:
    before = running_dsn(directory)
    server = start(directory)

    found = running_dsn(directory)

    assert before is None
    assert found is not None
    assert ask(found, "select 1") == 1
    server.release()
    assert running_dsn(directory) is None


def test_looking_for_a_server_leaves_no_trace(tmp_path: Path) -> None:
    directory = tmp_path / "none"

    found = running_dsn(directory)

    assert found is None
    assert not directory.exists()


def test_a_server_that_was_not_started_has_no_dsn(directory: Path) -> None:
    server = EmbeddedServer(directory)

    with pytest.raises(EmbeddedError, match="Call start"):
        server.dsn()


def test_settings_reach_the_server(directory: Path, start: Start, ask: Ask) -> None:
    settings = {"work_mem": "7MB", "my.text": 'it\'s, "quoted" = ü'}

    server = start(directory, settings=settings)

    assert ask(server.dsn(), "show work_mem") == "7MB"
    assert ask(server.dsn(), "show my.text") == settings["my.text"]


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"shared_buffers": "moose"}, 'invalid value for parameter "shared_buffers"'),
        ({"no_such_setting": "1"}, 'unrecognized configuration parameter "no_such_setting"'),
        ({"listen_addresses": "*"}, "Use the arguments directory, listen and port"),
    ],
)
def test_a_bad_setting_is_reported(
    directory: Path, start: Start, settings: dict[str, str], reason: str
) -> None:
    with pytest.raises(EmbeddedError, match=reason):
        start(directory, settings=settings)


def test_a_port_in_use_is_reported(directory: Path, start: Start) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()

        with pytest.raises(EmbeddedError, match="Address already in use"):
            start(directory, listen="127.0.0.1", port=taken.getsockname()[1])


def test_a_failed_start_does_not_spoil_the_next(directory: Path, start: Start, ask: Ask) -> None:
    with pytest.raises(EmbeddedError):
        start(directory, settings={"shared_buffers": "moose"})

    server = start(directory)

    assert ask(server.dsn(), "select 1") == 1


@pytest.mark.parametrize("program", ["true", "false"])
def test_a_keeper_that_ends_without_an_answer_is_reported(
    directory: Path, start: Start, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    monkeypatch.setattr(sys, "executable", shutil.which(program))

    with pytest.raises(EmbeddedError, match="ended without an answer"):
        start(directory)


def test_a_directory_with_something_else_in_it_is_left_alone(tmp_path: Path, start: Start) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "diary").write_text("mine")

    with pytest.raises(EmbeddedError, match="neither empty nor the data directory"):
        start(tmp_path)

    assert (tmp_path / "data" / "diary").read_text() == "mine"


def test_an_interrupted_initdb_is_done_again(tmp_path: Path, start: Start, ask: Ask) -> None:
    (tmp_path / "data.new").mkdir()
    (tmp_path / "data.new" / "PG_VERSION").write_text("18\n")

    server = start(tmp_path)

    assert ask(server.dsn(), "select 1") == 1
    assert not (tmp_path / "data.new").exists()


def test_a_stale_pid_of_another_process_does_not_prevent_the_start(
    directory: Path, start: Start, ask: Ask
) -> None:
    account = server_account(directory / "data")
    bystander = start_child(
        account, ["sleep", "100"], output=subprocess.DEVNULL, at_our_death=signal.SIGKILL
    )
    _leave_lock_files(directory, bystander.pid)

    server = start(directory)

    assert ask(server.dsn(), "select 1") == 1
    assert bystander.poll() is None
    bystander.kill()
    bystander.wait()


def test_a_stale_pid_of_another_server_does_not_prevent_the_start(
    directory: Path, tmp_path: Path, start: Start, ask: Ask
) -> None:
    other = start(tmp_path / "other")
    assert other.postmaster_pid is not None
    _leave_lock_files(directory, other.postmaster_pid)

    server = start(directory)

    assert ask(server.dsn(), "select 1") == 1
    assert ask(other.dsn(), "select 1") == 1


def _leave_lock_files(directory: Path, pid: int) -> None:
    """Write what a killed server leaves, with a pid that belongs to another process by now."""
    places = Places(directory)
    sockets = places.make_socket_directory(server_account(places.data), 5432)
    head = f"{pid}\n{places.data}\n1700000000\n5432\n{sockets}\n"
    (places.data / "postmaster.pid").write_text(f"{head}\n  1234  5678\nready   \n")
    (sockets / ".s.PGSQL.5432.lock").write_text(head)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(sockets / ".s.PGSQL.5432"))
