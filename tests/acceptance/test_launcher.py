"""With the library preloaded, a worker lives and dies with its server, whatever is killed."""

import random
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pg_durable.schema import install
from support.documents import ROOT, blocks
from support.kill_rounds import kill_at_random
from support.launcher import (
    LaunchedServer,
    build_library,
    kill,
    launched,
    processes_in,
    until_gone,
)
from support.waiting import until

ROUNDS = 5
MANUAL = ROOT / "docs" / "launcher.md"

# name: default, least, most, context
SETTINGS = {
    "worker_role": ("postgres", None, None, "postmaster"),
    "database": ("postgres", None, None, "postmaster"),
    "worker_command": ("pg-durable", None, None, "postmaster"),
    "max_management_connections": ("6", "1", "1000", "postmaster"),
    "max_duroxide_connections": ("10", "1", "1000", "postmaster"),
    "max_user_connections": ("10", "1", "1000", "postmaster"),
    "execution_acquire_timeout": ("0", "0", "3600", "postmaster"),
    "max_new_transaction_starts": ("2", "1", "1000", "postmaster"),
    "new_transaction_start_timeout": ("5", "1", "3600", "postmaster"),
    "enable_superuser_instances": ("off", None, None, "postmaster"),
    "list_instances_max_limit": ("1000", "1", "1000000", "superuser"),
    "retention_days": ("30", "0", "36500", "postmaster"),
    "reconcile_interval": ("3600", "0", "86400", "postmaster"),
}


@pytest.fixture(scope="module")
def library() -> Iterator[Path]:
    """The directory of the library, compiled for the server under test."""
    with tempfile.TemporaryDirectory(prefix="pg_durable_library_") as folder:
        yield build_library(Path(folder))


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where a server may live; none of its processes, nor a worker, may outlive the test."""
    with tempfile.TemporaryDirectory(prefix="pg_durable_launcher_") as name:
        yield Path(name)
        left = processes_in(Path(name) / "data")
        for process in left:
            kill(process)
        assert left == []


@pytest.fixture
def server(folder: Path, library: Path) -> Iterator[LaunchedServer]:
    """A server whose launcher runs a worker."""
    with launched(folder, library) as server:
        yield server


async def runs_workflows(server: LaunchedServer, database: str = "postgres") -> bool:
    """Whether somebody runs a workflow that is started now."""
    db = await server.connect(database)
    rows = await db.completed_rows(await db.start_sql("select 42 as answer"))
    await db.close()
    return bool(rows == [{"answer": 42}])


async def test_a_worker_runs_beside_the_server(server: LaunchedServer) -> None:
    worker = await server.worker()

    assert await runs_workflows(server)
    assert (await server.worker()).pid == worker.pid


async def test_one_worker_serves_all_databases_that_are_named(folder: Path, library: Path) -> None:
    with launched(folder, library, pg_durable__database="postgres, other") as server:
        db = await server.connect()
        await db.rows("create database other")
        install(server.server.dsn("other"))

        assert await runs_workflows(server)
        assert await runs_workflows(server, "other")
        await db.close()


async def test_the_worker_needs_no_superuser(folder: Path, library: Path) -> None:
    with launched(folder, library, pg_durable__worker_role="df_worker") as server:
        db = await server.connect()
        await db.rows("create role df_worker login")
        await db.rows("select df.grant_worker('df_worker')")

        assert await runs_workflows(server)
        assert await db.rows(
            "select distinct usename from pg_stat_activity"
            " where application_name ~ '^pg_durable:worker:(poll|duroxide|management)'"
        ) == [("df_worker",)]
        await db.close()


async def test_a_worker_waits_for_the_schema(server: LaunchedServer) -> None:
    worker = await server.worker()
    db = await server.connect()
    await db.rows("drop schema df cascade")

    install(server.dsn)

    assert await runs_workflows(server)
    assert (await server.worker()).pid == worker.pid
    await db.close()


async def test_a_worker_that_is_killed_is_started_again(server: LaunchedServer) -> None:
    worker = await server.worker()

    kill(worker)

    assert (await server.worker(besides=worker)).pid != worker.pid
    assert await runs_workflows(server)
    assert f"the worker, process {worker.pid}, ended: child process was terminated" in server.log


async def test_a_killed_launcher_takes_its_worker_along_and_comes_back(
    server: LaunchedServer,
) -> None:
    worker = await server.worker()
    (launcher,) = server.launchers()

    kill(launcher)

    await until_gone(launcher, worker)
    assert await runs_workflows(server)
    assert (await server.worker()).pid != worker.pid


async def test_a_launcher_that_is_told_to_end_ends_its_worker_and_comes_back(
    server: LaunchedServer,
) -> None:
    assert await runs_workflows(server)
    worker = await server.worker()
    (launcher,) = server.launchers()

    kill(launcher, signal.SIGTERM)

    await until_gone(launcher, worker)
    assert f"process {worker.pid}, ended: child process exited with exit code 0" in server.log
    assert (await server.worker()).pid != worker.pid


async def test_a_killed_postmaster_takes_the_worker_along(server: LaunchedServer) -> None:
    worker = await server.worker()
    postmaster = server.postmaster()
    assert postmaster is not None

    kill(postmaster)

    await until_gone(postmaster, worker)
    assert await runs_workflows(server)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
async def test_the_worker_ends_with_the_server(server: LaunchedServer, how: signal.Signals) -> None:
    assert await runs_workflows(server)  # its sessions are there, for which SIGTERM waits
    worker = await server.worker()
    postmaster = server.postmaster()
    assert postmaster is not None

    kill(postmaster, how)

    await until_gone(postmaster, worker)


async def test_a_worker_that_does_not_start_is_tried_ever_more_rarely(
    folder: Path, library: Path
) -> None:
    with launched(folder, library, pg_durable__worker_command="/nowhere/pg-durable") as server:

        async def tried_twice() -> bool:
            return server.log.count("pg_durable: started the worker") > 1

        await until(tried_twice)

    assert "/nowhere/pg-durable: not found" in server.log
    assert "ended: command not found; it is started again in 1 s" in server.log
    assert "HINT:  Set pg_durable.worker_command to the program pg-durable" in server.log


async def test_without_a_command_there_is_no_launcher(folder: Path, library: Path) -> None:
    with launched(folder, library, pg_durable__worker_command="") as server:
        assert server.launchers() == []
        assert server.workers() == []


async def test_the_worker_is_told_of_the_settings_and_of_this_server_alone(
    folder: Path, library: Path
) -> None:
    with launched(
        folder,
        library,
        pg_durable__max_user_connections="3",
        pg_durable__retention_days="7",
        pg_durable__database='''postgres, "it's \\ odd"''',
        pg_durable__worker_role="works for us",
    ) as server:
        worker = (await server.worker()).as_dict(["environ", "cmdline"])
        host = str(server.server.socket_dir)

    told = worker["environ"]
    assert told["PG_DURABLE_MAX_USER_CONNECTIONS"] == "3"
    assert told["PG_DURABLE_RETENTION_DAYS"] == "7"
    assert {name: told[name] for name in told if name.startswith("PG") and "_" not in name} == {
        "PGHOST": host,
        "PGPORT": "5432",
        "PGUSER": "works for us",
    }
    assert worker["cmdline"][-2:] == ["dbname='postgres'", "dbname='it\\'s \\\\ odd'"]


async def test_the_settings_have_their_ranges(folder: Path, library: Path) -> None:
    with launched(folder, library, pg_durable__worker_command="") as server:
        db = await server.connect()
        rows = await db.rows(
            "select replace(name, 'pg_durable.', ''), boot_val, min_val, max_val, context"
            " from pg_settings where name like 'pg\\_durable.%'"
        )
        await db.close()

    assert {name: tuple(rest) for name, *rest in rows} == SETTINGS


async def test_the_configuration_in_the_manual_runs_a_worker(folder: Path, library: Path) -> None:
    (block,) = [block for block in blocks(MANUAL) if block.language == "ini"]
    lines = [line.split(" = ") for line in block.text.splitlines()]
    given = {name.replace(".", "__"): value.strip("'") for name, value in lines}
    assert given.pop("pg_durable__worker_command").endswith("/pg-durable")

    with launched(folder, library, **given) as server:
        assert await runs_workflows(server)


async def test_values_that_cannot_be_are_told_and_not_used(folder: Path, library: Path) -> None:
    with launched(
        folder,
        library,
        pg_durable__worker_command="",
        pg_durable__database="postgres,,",
        pg_durable__max_user_connections="0",
    ) as server:
        db = await server.connect()
        used = await db.row(
            "select current_setting('pg_durable.database'),"
            " current_setting('pg_durable.max_user_connections')"
        )
        await db.close()

    assert used == ("postgres", "10")
    assert 'invalid value for parameter "pg_durable.database": "postgres,,"' in server.log
    assert 'outside the valid range for parameter "pg_durable.max_user_connections"' in server.log


def test_a_worker_ends_with_its_input() -> None:
    worker = subprocess.Popen(
        [
            *(sys.executable, "-m", "pg_durable", "worker"),
            *("--wait-for-server", "--until-input-ends", "host=/nowhere"),
        ],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )

    _, said = worker.communicate(timeout=60)

    assert worker.returncode == 1
    assert said.splitlines()[-1] == "the standard input has ended, and the worker with it"


async def test_random_kills_leave_no_orphan_and_no_stuck_instance(
    server: LaunchedServer,
) -> None:
    await kill_at_random(server, rounds=ROUNDS, dice=random.Random(4714))
