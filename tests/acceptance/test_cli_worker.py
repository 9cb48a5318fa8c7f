"""`pg-durable worker` as a process of its own."""

import asyncio
import signal
from pathlib import Path

import pytest

from integration.cli.running import CliProcess, command, environment
from pg_durable.embedded import EmbeddedServer
from pg_durable.schema import install
from support.database import Database


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_it_works_until_it_is_told_to_stop_and_logs_a_line_per_event(
    db: Database, number: signal.Signals
) -> None:
    process = await asyncio.create_subprocess_exec(
        *command("worker", db.conninfo, "--max-user-connections", "2"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment(),
    )
    status = await db.wait(await db.start("'select 1'"))

    process.send_signal(number)
    out, err = await process.communicate()

    assert (process.returncode, status, out) == (0, "completed", b"")
    lines = err.decode().splitlines()
    assert "INFO worker 1 is ready" in lines[0]
    assert all(line[:4].isdigit() for line in lines)


async def test_it_waits_for_a_server_that_comes_later(tmp_path: Path) -> None:
    with EmbeddedServer(tmp_path) as server:
        dsn = server.dsn()
        install(dsn)
    process = await asyncio.create_subprocess_exec(
        *command("worker", dsn, "--wait-for-server"),
        stderr=asyncio.subprocess.PIPE,
        env=environment(),
    )
    assert process.stderr is not None
    complaint = await asyncio.wait_for(process.stderr.readline(), 30)

    with EmbeddedServer(tmp_path):
        db = await Database.connect(dsn)
        status = await db.wait(await db.start("'select 1'"))
        await db.close()
        process.terminate()
        await process.communicate()

    assert b"WARNING" in complaint
    assert b"trying again" in complaint
    assert (status, process.returncode) == ("completed", 0)


async def test_psql_gets_all_arguments_and_its_own_options_win(db: Database) -> None:
    cli = CliProcess(PG_DURABLE_DSN=db.conninfo)

    there = await cli("psql", "-At", "-c", "select 1", "-c", "select current_database()")
    elsewhere = await cli("psql", "-X", "-d", "template1", "-Atc", "select current_database()")
    given = await cli("psql", "-At", "-v", "x=5", given="select :x;")
    failing = await cli("psql", "-v", "ON_ERROR_STOP=1", "-c", "select 1/0")

    assert there.out == f"1\n{db.session.info.dbname}\n"
    assert elsewhere.out == "template1\n"
    assert given.out == "5\n"
    assert failing.code == 1
    assert "division by zero" in failing.err
