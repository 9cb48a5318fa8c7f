"""`pg-durable worker` as a process of its own."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from integration.cli.running import CliProcess, command, environment
from pg_durable.embedded import EmbeddedServer
from pg_durable.schema import install
from support.database import Database
from support.waiting import until


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


async def test_it_waits_for_a_schema_that_comes_later_with_one_line(
    server: EmbeddedServer,
) -> None:
    admin = await Database.connect(server.dsn())
    await admin.rows("create database comes_later")
    dsn = server.dsn("comes_later")
    process = await asyncio.create_subprocess_exec(
        *command("worker", dsn, "--wait-for-schema"),
        stderr=asyncio.subprocess.PIPE,
        env=environment(),
    )
    assert process.stderr is not None
    complaint = await asyncio.wait_for(process.stderr.readline(), 30)

    async def looked_again() -> object:
        return await admin.scalar(
            "select sessions >= 3 from pg_stat_database where datname = 'comes_later'"
        )

    await until(looked_again)
    await asyncio.to_thread(install, dsn)
    db = await Database.connect(dsn)
    status = await db.wait(await db.start("'select 1'"))
    await db.close()
    process.terminate()
    _, rest = await process.communicate()

    assert b"Database comes_later has no df schema" in complaint
    assert (status, process.returncode) == ("completed", 0)
    assert b"no df schema" not in rest
    await admin.rows("drop database comes_later")
    await admin.close()


@pytest.mark.parametrize("option", [[], ["--wait-for-schema"]])
async def test_a_schema_that_is_newer_ends_it_with_a_message_and_an_exit_code(
    db: Database, option: list[str]
) -> None:
    await db.rows("update df._schema set migration = migration + 1, version = '99.0.0'")

    process = await asyncio.create_subprocess_exec(
        *command("worker", db.conninfo, *option),
        stderr=asyncio.subprocess.PIPE,
        env=environment(),
    )
    _, err = await process.communicate()

    assert process.returncode == 1
    assert b"is from pg_durable 99.0.0" in err
    assert b"Upgrade the program" in err


async def test_one_process_serves_several_databases_and_none_suffers_from_another(
    server: EmbeddedServer, db: Database
) -> None:
    admin = await Database.connect(server.dsn())
    databases = [db]
    for name in ("second", "third"):
        await admin.rows(f"create database {name}")
        await asyncio.to_thread(install, server.dsn(name))
        databases.append(await Database.connect(server.dsn(name)))
    process = await asyncio.create_subprocess_exec(
        *command("worker", *(database.conninfo for database in databases)),
        stderr=asyncio.subprocess.PIPE,
        env=environment(),
    )
    for database in databases:
        assert await database.wait(await database.start("'select 1'")) == "completed"

    await databases[1].close()
    await admin.rows("drop database second with (force)")
    await databases[2].rows("update df._schema set migration = migration + 1, version = '99.0.0'")
    left = await databases[2].start("'select 1'")
    said = await _read_until(process, b"third: not served any more")
    assert await db.wait(await db.start("'select 1'")) == "completed"
    process.terminate()
    _, rest = await process.communicate()

    assert process.returncode == 1
    said += rest
    assert f"{db.session.info.dbname}: worker 1 is ready".encode() in said
    assert b"second: connection failed" in said
    assert b'database "second" does not exist' in said
    assert b"is from pg_durable 99.0.0" in said
    assert await databases[2].status(left) == "pending"
    await databases[2].close()
    await admin.rows("drop database third")
    await admin.close()


async def _read_until(process: asyncio.subprocess.Process, text: bytes) -> bytes:
    """What the process says up to the line with a text."""
    assert process.stderr is not None
    said = b""
    while text not in said:
        line = await asyncio.wait_for(process.stderr.readline(), 30)
        assert line, said
        said += line
    return said


async def test_a_standby_is_waited_for_until_it_is_promoted(tmp_path: Path) -> None:
    with EmbeddedServer(tmp_path) as server:
        dsn = server.dsn()
        install(dsn)
        db = await Database.connect(dsn)
        instance = await db.start("'select 1'")
        await db.close()
        (server.data_dir / "standby.signal").touch()
    with EmbeddedServer(tmp_path):
        process = await asyncio.create_subprocess_exec(
            *command("worker", dsn, "--wait-for-server"),
            stderr=asyncio.subprocess.PIPE,
            env=environment(),
        )
        assert process.stderr is not None
        complaint = await asyncio.wait_for(process.stderr.readline(), 30)
        db = await Database.connect(dsn)
        assert await db.status(instance) == "pending"

        await db.rows("select pg_promote()")

        assert await db.wait(instance) == "completed"
        await db.close()
        process.terminate()
        await process.communicate()
    assert b"trying again" in complaint
    assert process.returncode == 0


async def _processes(db: Database) -> dict[int, int]:
    """The living workers: their processes, by their numbers."""
    rows = await db.rows(
        "select e.worker, split_part(e.name, ':', 2)::int from df._worker_epoch e"
        " join df._living_workers() l (worker) on l.worker = e.worker"
    )
    return dict(rows)


async def _are_working(db: Database, number: int) -> bool:
    return len(await _processes(db)) == number


async def test_several_processes_share_the_work_and_one_that_is_killed_is_replaced(
    db: Database,
) -> None:
    process = await asyncio.create_subprocess_exec(
        *command("worker", db.conninfo, "--processes", "3"),
        stderr=asyncio.subprocess.PIPE,
        env=environment(),
    )
    await until(lambda: _are_working(db, 3))
    before = await _processes(db)

    os.kill(next(iter(before.values())), signal.SIGKILL)
    killed = next(iter(before))

    async def replaced() -> bool:
        now = await _processes(db)
        return len(now) == 3 and killed not in now

    await until(replaced)
    instances = [await db.start("'select 1'") for _ in range(20)]
    assert {await db.wait(instance) for instance in instances} == {"completed"}
    process.send_signal(signal.SIGINT)
    _, err = await process.communicate()
    assert process.returncode == 0
    assert f"process {before[killed]} was killed by signal 9: another begins" in err.decode()
    assert await db.scalar("select count(*) from df._worker_epoch") == 0


async def test_the_processes_end_with_the_command_however_it_dies(db: Database) -> None:
    process = await asyncio.create_subprocess_exec(
        *command("worker", db.conninfo, "--processes", "2"), env=environment()
    )
    await until(lambda: _are_working(db, 2))

    process.kill()
    await process.wait()

    await until(lambda: _are_working(db, 0))


async def test_what_ends_one_process_ends_all_with_its_code(db: Database) -> None:
    process = await asyncio.create_subprocess_exec(
        *command("worker", db.conninfo, "--processes", "2"),
        stderr=asyncio.subprocess.PIPE,
        env=environment(),
    )
    await until(lambda: _are_working(db, 2))

    await db.rows("update df._schema set migration = 9999, version = '99.0.0'")
    _, err = await process.communicate()

    assert process.returncode == 1
    assert "99.0.0" in err.decode()
