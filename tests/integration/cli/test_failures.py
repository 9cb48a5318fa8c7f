"""What goes wrong is told in one line that says what to do, with exit code 1."""

import pytest
from psycopg.conninfo import make_conninfo

from integration.cli.running import Cli, Ran
from pg_durable.embedded import EmbeddedServer
from support.database import Database


def assert_one_line(ran: Ran, *parts: str) -> None:
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("pg-durable: ")
    assert ran.err.count("\n") == 1
    for part in parts:
        assert part in ran.err


@pytest.mark.parametrize("dsn", ["nonsense", "hots=localhost", "service=nowhere"])
async def test_a_wrong_dsn(nowhere: Cli, dsn: str) -> None:
    ran = await nowhere("list", "--dsn", dsn)

    assert_one_line(ran, "The connection string can", "Use a URI (postgresql://")


@pytest.mark.parametrize(
    "command", [["list"], ["worker"], ["install"], ["doctor"], ["start", "select 1"]]
)
async def test_an_absent_server(nowhere: Cli, command: list[str]) -> None:
    ran = await nowhere(*command, PG_DURABLE_DSN="host=127.0.0.1 port=1")

    assert_one_line(ran, "No PostgreSQL server answers", "Connection refused", "pg-durable up")


async def test_a_policy_that_cannot_be_read(nowhere: Cli) -> None:
    ran = await nowhere("worker", "--http-policy", "*", PG_DURABLE_DSN="host=127.0.0.1 port=1")

    assert (ran.code, ran.out) == (2, "")
    assert "http_policy: '*' is none of public, a host such as" in " ".join(ran.err.split())


async def test_nothing_named_and_nothing_running(nowhere: Cli) -> None:
    # No server of the tests listens where libpq looks by default.
    ran = await nowhere("list", PGPORT="1")

    assert_one_line(ran, "No PostgreSQL server answers", "pg-durable up")


@pytest.mark.parametrize("command", ["list", "worker", "install", "doctor"])
async def test_a_refused_login(nowhere: Cli, server: EmbeddedServer, command: str) -> None:
    ran = await nowhere(command, "--dsn", server.dsn(user="nobody of that name"))

    assert_one_line(ran, "The server refused the login", "nobody of that name", "pg_hba.conf")


async def test_a_database_that_is_not_there(nowhere: Cli, server: EmbeddedServer) -> None:
    ran = await nowhere("list", "--dsn", server.dsn("no such"))

    assert_one_line(ran, "The server refused the login", '"no such" does not exist')


@pytest.mark.parametrize(
    "command", [["list"], ["worker"], ["show", "00000000"], ["explain", "select 1"]]
)
async def test_an_absent_schema(nowhere: Cli, server: EmbeddedServer, command: list[str]) -> None:
    ran = await nowhere(*command, "--dsn", server.dsn("template1"))

    assert_one_line(ran, "has no df schema", "pg-durable install")


@pytest.fixture
async def stranger(db: Database) -> str:
    """The connection string of a role that was granted nothing."""
    await db.rows(
        "do $$ begin create role cli_stranger login;"
        " exception when duplicate_object then null; end $$"
    )
    return make_conninfo(db.conninfo, user="cli_stranger")


async def test_a_missing_privilege(nowhere: Cli, stranger: str) -> None:
    ran = await nowhere("list", "--dsn", stranger)

    assert_one_line(ran, "cli_stranger", "select df.grant_usage('cli_stranger');")


async def test_a_role_that_may_not_install(nowhere: Cli, stranger: str) -> None:
    ran = await nowhere("install", stranger)

    assert_one_line(ran, "cli_stranger", "owner or a superuser")


async def test_an_unknown_instance(cli: Cli) -> None:
    for command in ("show", "wait", "cancel", "explain"):
        assert_one_line(await cli(command, "ffffffff"), "ffffffff", "pg-durable list")
    assert_one_line(await cli("signal", "ffffffff", "go"), "ffffffff", "pg-durable list")


async def test_an_expression_that_cannot_be_evaluated(cli: Cli) -> None:
    for command in ("start", "explain"):
        assert_one_line(await cli(command, "df.nope('a')"), "df.nope", "does not exist")


USAGE = [
    ["start"],
    ["start", "'a'", "-f", "b"],
    ["start", "-f", "/no/such/file"],
    ["explain"],
    ["list", "--limit", "0"],
    ["list", "--status", "canceled"],
    ["worker", "--lease", "-1"],
    ["worker", "dbname=a", "--dsn", "dbname=b"],
    ["signal", "00000000"],
    ["no-such-command"],
]


@pytest.mark.parametrize("command", USAGE)
async def test_a_command_line_that_makes_no_sense(nowhere: Cli, command: list[str]) -> None:
    ran = await nowhere(*command)

    assert (ran.code, ran.out) == (2, "")
    assert "Error: " in ran.err
    assert "Traceback" not in ran.err
