"""Who gets in: the invoking user, as any role, and nobody else."""

import os
import pwd
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import psutil
import psycopg
import pytest

from pg_durable.embedded import EmbeddedServer

Move = Callable[[Path], Path]
Start = Callable[..., EmbeddedServer]
Ask = Callable[[str, str], object]
AskAs = Callable[[str, str, str], subprocess.CompletedProcess[str]]
PG15 = Path("/usr/lib/postgresql/15/bin")


def test_the_invoking_user_gets_in_as_any_role(directory: Path, start: Start, ask: Ask) -> None:
    server = start(directory)
    ask(server.dsn(), 'create role "Some One" login')

    somebody = ask(server.dsn(user="Some One"), "select current_user")

    assert somebody == "Some One"
    assert ask(server.dsn(), "select current_user") == "postgres"


def test_the_files_tell_strangers_nothing(directory: Path, start: Start) -> None:
    server = start(directory)

    modes = {path.name: path.stat().st_mode & 0o077 for path in directory.iterdir()}

    assert {"data", "server.log", "keeper.log", "owners.lock"} <= set(modes)
    assert set(modes.values()) == {0}
    assert server.log_file == directory / "server.log"


def test_a_stranger_is_kept_out(enterable: Path, move: Move, start: Start, ask_as: AskAs) -> None:
    server = start(move(enterable / "home"))

    refused = ask_as("nobody", server.dsn(), "select 1")
    admitted = ask_as("root", server.dsn(), "select 1")

    assert admitted.stdout == "1\n"
    assert refused.stdout == ""
    assert "Permission denied" in refused.stderr


def test_the_account_that_owns_the_data_may_connect(
    enterable: Path, move: Move, start: Start, ask_as: AskAs
) -> None:
    server = start(move(enterable / "home"))
    its_user = pwd.getpwuid(server.data_dir.stat().st_uid).pw_name

    # The server connects to itself from there, for starts in a transaction of their own.
    admitted = ask_as(its_user, server.dsn(), "select 1")

    assert admitted.stdout == "1\n"


@pytest.mark.skipif(not PG15.exists(), reason="no PostgreSQL 15 here")
def test_a_stranger_is_kept_out_of_postgresql_15(
    enterable: Path, start: Start, ask: Ask, ask_as: AskAs
) -> None:
    server = start(enterable, bin_dir=PG15)
    ask(server.dsn(), "create role someone login")

    refused = ask_as("nobody", server.dsn(), "select 1")

    assert ask(server.dsn(user="someone"), "select current_user") == "someone"
    assert refused.stdout == ""
    assert "Permission denied" in refused.stderr


def test_tcp_asks_for_a_password(directory: Path, start: Start, ask: Ask) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = start(directory, listen="127.0.0.1", port=port)
    ask(server.dsn(), "create role with_password login password 'secret'")
    address = f"host=127.0.0.1 port={port} dbname=postgres"

    admitted = ask(f"{address} user=with_password password=secret", "select current_user")

    assert admitted == "with_password"
    for stranger in ("user=with_password password=guess", "user=postgres password=guess"):
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(f"{address} {stranger}")


def test_nothing_listens_on_tcp_unless_asked_for(directory: Path, start: Start) -> None:
    server = start(directory)

    connections = psutil.Process(server.postmaster_pid).net_connections("tcp")

    assert connections == []


def test_the_servers_environment_holds_no_secrets(
    directory: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_KEY", "secret")

    server = start(directory)

    environment = Path(f"/proc/{server.postmaster_pid}/environ").read_bytes()
    assert os.environb[b"API_KEY"] not in environment
    assert b"PATH=" in environment
