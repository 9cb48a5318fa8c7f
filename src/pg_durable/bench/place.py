"""Where it is measured: a database of the benchmark's own, and everything that must end with it."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pg_durable.embedded import EmbeddedServer
from pg_durable.errors import ServerUnavailable

# What several workers, or a peer with its pools, need; all else is as PostgreSQL comes.
_SETTINGS = {"max_connections": "300"}


@contextmanager
def scratch_server(dsn: str | None) -> Iterator[str]:
    """A server to measure on: the one given, or an embedded one that is gone afterwards."""
    if dsn is not None:
        yield dsn
        return
    with (
        tempfile.TemporaryDirectory(prefix="pg_durable_bench_") as folder,
        EmbeddedServer(Path(folder), settings=_SETTINGS) as server,
    ):
        yield server.dsn()


@contextmanager
def scratch_database(server: str, purpose: str) -> Iterator[str]:
    """An empty database on the server, dropped afterwards: nothing of the user's is touched.

    Raises:
        ServerUnavailable: no connection.
    """
    name = f"pg_durable_bench_{purpose}_{os.getpid()}"
    with ExitStack() as stack:
        try:
            session = stack.enter_context(psycopg.connect(server, autocommit=True))
        except psycopg.OperationalError as error:
            raise ServerUnavailable(" ".join(str(error).split())) from error
        named = sql.Identifier(name)
        session.execute(sql.SQL("create database {} template template0").format(named))
        try:
            yield make_conninfo("", **{**conninfo_to_dict(server), "dbname": name})
        finally:
            session.execute(sql.SQL("drop database if exists {} with (force)").format(named))
