"""`pg-durable up`: a server, the schema and a worker in one command."""

import asyncio
import re
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from integration.cli.running import Cli, command, environment
from pg_durable.embedded import running_dsn
from support.database import Database
from support.waiting import until


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where one server lives, run by one test after the other."""
    return tmp_path_factory.mktemp("up") / "it's here"


@asynccontextmanager
async def up(directory: Path, *args: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """Run it until the block ends; gives the process, and what it has printed."""
    process = await asyncio.create_subprocess_exec(
        *command("up", *args),
        stdout=asyncio.subprocess.PIPE,
        env=environment(PG_DURABLE_DATA=str(directory)),
    )
    assert process.stdout is not None
    try:
        said = await asyncio.wait_for(process.stdout.readuntil(b"server.log\n\n"), 60)
        yield process, said.decode()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_it_runs_workflows_until_it_is_told_to_stop_and_leaves_nothing(
    directory: Path, number: signal.Signals
) -> None:
    cli = Cli(PG_DURABLE_DATA=str(directory))

    async with up(directory, "--quiet") as (process, _):
        instance = (await cli("start", "'select 6 * 7 as answer'")).out.strip()
        result = await cli("wait", instance)
        process.send_signal(number)
        code = await asyncio.wait_for(process.wait(), 30)

    assert result.out == '{"rows":[{"answer":42}],"row_count":1}\n'
    assert code == 0
    assert running_dsn(directory) is None
    assert "No PostgreSQL server answers" in (await cli("list", PGPORT="1")).err


async def test_what_it_prints_can_be_pasted_into_a_shell(directory: Path, tmp_path: Path) -> None:
    async with up(tmp_path, "--data", str(directory), "--quiet") as (_, said):
        line = re.search(r"^  psql +(.*)$", said, re.MULTILINE)
        export = re.search(r"^  elsewhere +(.*)$", said, re.MULTILINE)
        assert line is not None
        assert export is not None
        script = (
            f"{line[1]} -Atc 'select df.version()'\n"
            f"{export[1]}\n{' '.join(command('start'))} 'select 1'"
        )
        shell = await asyncio.create_subprocess_shell(
            script, stdout=asyncio.subprocess.PIPE, env=environment()
        )
        out, _ = await shell.communicate()

    version, instance = out.decode().split("\n")[:2]
    assert "built" in version
    assert re.fullmatch("[0-9a-f]{8}", instance)


async def test_listening_on_tcp_it_lets_in_who_has_the_password(directory: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    address = f"@127.0.0.1:{port}/postgres"

    async with up(directory, "--quiet", "--listen", "127.0.0.1", "--port", port) as (_, said):
        cli = Cli(PG_DURABLE_DATA=str(directory))
        await cli("psql", "-c", "alter role postgres password 'right'")
        right = await cli("list", "--dsn", f"postgresql://postgres:right{address}")
        wrong = await cli("list", "--dsn", f"postgresql://postgres:wrong{address}")
        without = await cli("list", "--dsn", f"postgresql://postgres{address}")

    assert "over TCP" in said
    assert right.code == 0
    for refused, why in ((wrong, "authentication failed"), (without, "no password supplied")):
        assert (refused.code, refused.out, refused.err.count("\n")) == (1, "", 1)
        assert "The server refused the login" in refused.err
        assert why in refused.err
        assert "~/.pgpass" in refused.err


async def test_killed_and_started_again_it_goes_on_with_the_work(directory: Path) -> None:
    cli = Cli(PG_DURABLE_DATA=str(directory))
    workflow = "'create table t as select 1 as i' ~> df.sleep(2) ~> 'update t set i = i + 1'"

    async with up(directory, "--quiet") as (process, _):
        instance = (await cli("start", workflow)).out.strip()
        await first_step_done(directory)
        process.kill()
        await process.wait()
        await server_gone(directory)  # by itself
    async with up(directory, "--quiet"):
        waited = await cli("wait", instance, "--timeout", "30")
        value = await cli("psql", "-Atc", "select i from t")

    assert waited.code == 0
    assert value.out == "2\n"


async def first_step_done(directory: Path) -> None:
    db = await Database.connect(running_dsn(directory) or "")

    async def done() -> object:
        return await db.scalar("select to_regclass('t') is not null")

    await until(done)
    await db.close()


async def server_gone(directory: Path) -> None:
    async def gone() -> bool:
        return running_dsn(directory) is None

    await until(gone)


async def test_a_directory_that_cannot_be_used_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "something").touch()

    ran = await Cli()("up", "--quiet", "--data", str(tmp_path))

    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("pg-durable: ")
    assert ran.err.count("\n") == 1
