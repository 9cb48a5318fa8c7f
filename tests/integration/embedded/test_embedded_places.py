"""Any directory will do, and the socket is always private and short."""

import os
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from psycopg.conninfo import conninfo_to_dict

from pg_durable.embedded import EmbeddedServer, default_directory
from pg_durable.embedded.account import server_account
from pg_durable.embedded.places import Places
from pg_durable.errors import EmbeddedError

Move = Callable[[Path], Path]
Start = Callable[..., EmbeddedServer]
Ask = Callable[[str, str], object]

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs a server as another user")


@pytest.mark.parametrize(
    "name",
    [
        "with some spaces ",
        'it\'s "quoted" \\ and $HOME 100%',
        "größe-目錄-🐘",
        "a,b",
        "two\nlines",
        "-D",
        "/".join(["a-directory-with-a-long-name"] * 5),
        "/".join(["a-directory-with-a-long-name"] * 60),
    ],
    ids=["spaces", "quotes", "unicode", "comma", "newline", "dash", "long", "very-long"],
)
def test_a_directory_may_have_any_name(
    tmp_path: Path, move: Move, start: Start, ask: Ask, name: str
) -> None:
    home = move(tmp_path / name)
    server = start(home)
    ask(server.dsn(), "create database named")
    ask(server.dsn("named"), "create table t as select 1")
    ask(server.dsn(), "checkpoint")
    server.release()

    server.start()

    assert ask(server.dsn("named"), "select count(*) from t") == 1
    ask(server.dsn(), "drop database named")
    assert server.data_dir == home / "data"


def test_two_names_of_one_directory_are_one_server(
    directory: Path, tmp_path: Path, start: Start
) -> None:
    server = start(directory)
    alias = tmp_path / "alias"
    alias.symlink_to(directory)

    joined = start(alias)

    assert joined.postmaster_pid == server.postmaster_pid


def test_a_short_path_holds_the_socket_itself(enterable: Path, move: Move, start: Start) -> None:
    home = move(enterable / "home")

    server = start(home)

    assert server.socket_dir == home / "run"
    assert conninfo_to_dict(server.dsn())["host"] == str(home / "run")


def test_a_socket_elsewhere_goes_when_the_server_stops(
    tmp_path: Path, move: Move, start: Start
) -> None:
    server = start(move(tmp_path / "a,b"))
    sockets = server.socket_dir

    server.release()

    assert tmp_path not in sockets.parents
    assert not sockets.exists()


def test_a_socket_directory_is_for_the_server_alone(directory: Path, start: Start) -> None:
    server = start(directory)

    found = server.socket_dir.stat()

    assert found.st_mode & 0o777 == 0o700
    assert found.st_uid == server.data_dir.stat().st_uid


@pytest.mark.parametrize("plant", ["open to all", "a link"])
def test_a_planted_socket_directory_is_refused(directory: Path, start: Start, plant: str) -> None:
    places = Places(directory)
    account = server_account(places.data)
    sockets = places.make_socket_directory(account, 5432)
    if plant == "open to all":
        sockets.chmod(0o777)
    else:
        sockets.rmdir()
        sockets.symlink_to(places.data)

    with pytest.raises(EmbeddedError, match="not a private directory"):
        start(directory)

    sockets.unlink() if plant == "a link" else sockets.rmdir()


def test_a_directory_everybody_can_write_in_is_refused(tmp_path: Path, start: Start) -> None:
    tmp_path.chmod(0o777)

    with pytest.raises(EmbeddedError, match="Everybody can write"):
        start(tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_a_file_is_no_directory(tmp_path: Path, start: Start) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(EmbeddedError, match=r"cannot be set up: .*Not a directory"):
        start(tmp_path / "file")


def test_the_default_directory_can_be_named_in_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unnamed = default_directory()

    monkeypatch.setenv("PG_DURABLE_DATA", "/some/where")

    assert default_directory() == Path("/some/where")
    assert unnamed.is_absolute()
    assert (unnamed == Path("/var/lib/pg_durable")) == (os.geteuid() == 0)


@as_root
def test_a_directory_of_somebody_else_is_refused(tmp_path: Path, start: Start) -> None:
    os.chown(tmp_path, 65534, 65534)

    with pytest.raises(EmbeddedError, match="belongs to user id 65534"):
        start(tmp_path)

    assert list(tmp_path.iterdir()) == []


@as_root
def test_roots_server_works_behind_a_closed_door(
    tmp_path: Path, move: Move, start: Start, ask: Ask
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    server = start(move(closed / "home"))
    ask(server.dsn(), "create database hidden")
    ask(server.dsn("hidden"), "create table t as select * from generate_series(1, 10000) n")
    ask(server.dsn("hidden"), "checkpoint")
    ask(server.dsn("hidden"), "vacuum t")
    ask(server.dsn("hidden"), "select pg_reload_conf()")
    server.release()

    server.start()

    assert ask(server.dsn("hidden"), "select count(*) from t") == 10000
    assert psutil.Process(server.postmaster_pid).uids().real != 0
    assert closed.stat().st_mode & 0o777 == 0o700


@as_root
def test_roots_server_runs_as_the_user_named_in_the_environment(
    tmp_path: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PG_DURABLE_SERVER_USER", "nobody")

    server = start(tmp_path / "home")

    assert psutil.Process(server.postmaster_pid).username() == "nobody"


@as_root
def test_a_cluster_keeps_the_user_it_was_made_by(
    directory: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = start(directory)
    before = psutil.Process(server.postmaster_pid).uids().real
    server.release()
    monkeypatch.setenv("PG_DURABLE_SERVER_USER", "nobody")

    server.start()

    assert psutil.Process(server.postmaster_pid).uids().real == before


@as_root
def test_an_unknown_user_in_the_environment_is_reported(
    tmp_path: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PG_DURABLE_SERVER_USER", "no-such-user")

    with pytest.raises(EmbeddedError, match="there is no user no-such-user"):
        start(tmp_path)
