"""`pg-durable up`: a server, the schema and a worker in one command."""

import asyncio
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from integration.cli.running import CliProcess, command, environment
from pg_durable.embedded import running_dsn
from support.waiting import until


@asynccontextmanager
async def up(
    directory: Path, *args: str, **variables: str
) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """Run it until the block ends; gives the process, and what it has printed."""
    process = await asyncio.create_subprocess_exec(
        *command("up", *args),
        stdout=asyncio.subprocess.PIPE,
        env=environment(PG_DURABLE_DATA=str(directory), **variables),
    )
    assert process.stdout is not None
    try:
        said = await asyncio.wait_for(process.stdout.readuntil(b"server.log\n\n"), 60)
        yield process, said.decode()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


async def gone(directory: Path) -> None:
    async def stopped() -> bool:
        return running_dsn(directory) is None

    await until(stopped)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_it_runs_workflows_until_it_is_told_to_stop_and_leaves_nothing(
    tmp_path: Path, number: signal.Signals
) -> None:
    cli = CliProcess(PG_DURABLE_DATA=str(tmp_path))

    async with up(tmp_path, "--quiet") as (process, _):
        instance = (await cli("start", "'select 6 * 7 as answer'")).out.strip()
        result = await cli("wait", instance)
        process.send_signal(number)
        code = await asyncio.wait_for(process.wait(), 30)

    assert result.out == '{"rows":[{"answer":42}],"row_count":1}\n'
    assert code == 0
    assert running_dsn(tmp_path) is None
    assert "No PostgreSQL server answers" in (await cli("list", PGPORT="1")).err


async def test_what_it_prints_can_be_pasted_into_a_shell(tmp_path: Path) -> None:
    directory = tmp_path / "it's here"

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


async def test_killed_and_started_again_it_goes_on_with_the_work(tmp_path: Path) -> None:
    cli = CliProcess(PG_DURABLE_DATA=str(tmp_path))
    workflow = "'create table t as select 1 as i' ~> df.sleep(2) ~> 'update t set i = i + 1'"

    async with up(tmp_path, "--quiet") as (process, _):
        instance = (await cli("start", workflow)).out.strip()
        await until_first_step_is_done(cli)
        process.kill()
        await process.wait()
    await gone(tmp_path)  # the server stops by itself
    async with up(tmp_path, "--quiet"):
        waited = await cli("wait", instance, "--timeout", "30")
        value = await cli("psql", "-Atc", "select i from t")

    assert waited.code == 0
    assert value.out == "2\n"


async def until_first_step_is_done(cli: CliProcess) -> None:
    async def done() -> bool:
        return (await cli("psql", "-Atc", "select to_regclass('t')")).out == "t\n"

    await until(done)


async def test_a_directory_that_cannot_be_used_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "something").touch()

    ran = await CliProcess()("up", "--quiet", "--data", str(tmp_path))

    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("pg-durable: ")
    assert ran.err.count("\n") == 1
