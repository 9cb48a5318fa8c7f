"""install says what it did."""

import psycopg
import pytest

from integration.cli.running import Cli
from pg_durable import __version__
from pg_durable.embedded import EmbeddedServer
from support.database import Database


async def test_installing_into_an_empty_database(nowhere: Cli, server: EmbeddedServer) -> None:
    with psycopg.connect(server.dsn(), autocommit=True) as admin:
        admin.execute("create database cli_install")
    try:
        first = await nowhere("install", server.dsn("cli_install"))
        second = await nowhere("install", "--dsn", server.dsn("cli_install"))
    finally:
        with psycopg.connect(server.dsn(), autocommit=True) as admin:
            admin.execute("drop database cli_install with (force)")

    assert first.out == f"Created the df schema, version {__version__}.\n"
    assert second.out == f"The df schema is at version {__version__} already.\n"
    assert (first.code, second.code) == (0, 0)


async def test_upgrading(cli: Cli, db: Database) -> None:
    await db.rows("update df._schema set version = '0.1.0'")

    ran = await cli("install")

    assert ran.out == f"Upgraded the df schema: 0.1.0 → {__version__}.\n"


@pytest.mark.parametrize("command", ["install", "worker"])
async def test_a_schema_newer_than_the_program_is_refused(
    cli: Cli, db: Database, command: str
) -> None:
    await db.rows("update df._schema set migration = 9999, version = '99.0'")

    ran = await cli(command)

    assert ran.code == 1
    assert "99.0" in ran.err
    assert "pip install --upgrade" in ran.err
