"""The pages in docs/: their examples are run, and their lists are whole."""

import ast
import getpass
import re
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from integration.cli.running import Cli
from pg_durable.embedded import EmbeddedServer
from pg_durable.engine.worker import Worker
from pg_durable.schema import install
from pg_durable.settings import numbers, texts
from support.database import Database
from support.documents import ROOT, blocks, normal, psql_session, tables
from support.example_api import PLACE, ExampleApi
from support.http_server import HttpServer, http_server
from support.waiting import until
from support.workers import worker_here

DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
# Run on a server that one may install into: tests/integration/extension/test_install_page.py
ON_ANOTHER_SERVER = DOCS / "install.md"
REFERENCE = DOCS / "reference.md"
OPERATIONS = DOCS / "operations.md"
SETTINGS = DOCS / "settings.md"

FAST = {"fsync": "off", "full_page_writes": "off"}

# Commands that look and go; those that stay or change a machine are not run.
_COMMANDS = ("list", "show", "explain", "wait", "cancel", "doctor", "start", "version")
# Stands for the id of the instance started last.
_ID = "3fa9c1d0"
# What `pg-durable doctor` says of the place where it runs, and what stands for it.
_HERE = (
    (r"PostgreSQL \d[\w.]*, database \w+", "PostgreSQL <version>, database <name>"),
    (r"pg_durable \d+\.\d+\.\d+", "pg_durable <version>"),
    (r"\d+ \([\w.-]+:\d+\)", "<worker>"),
)


@pytest.fixture
async def no_new_roles(db: Database) -> AsyncIterator[None]:
    """Drop the roles that a page creates: they are the whole server's."""
    query = "select rolname from pg_roles"
    before = await db.rows(query)
    yield
    for (role,) in set(await db.rows(query)) - set(before):
        for statement in ("drop owned by {}", "drop role {}"):
            await db.session.execute(sql.SQL(statement).format(sql.Identifier(role)))


@pytest.fixture
async def api() -> AsyncIterator[HttpServer]:
    """What the pages call."""
    async with http_server(server=ExampleApi()) as server:
        yield server


@pytest.fixture
async def worker(database: str) -> AsyncIterator[Worker]:
    """A worker that may call it."""
    async with worker_here(database, http_policy="127.0.0.1") as running:
        yield running


@pytest.mark.usefixtures("no_new_roles")
@pytest.mark.parametrize(
    "page", [page for page in PAGES if page != ON_ANOTHER_SERVER], ids=lambda page: str(page.stem)
)
async def test_the_examples_of_a_page_print_what_it_says(
    db: Database, worker: Worker, api: HttpServer, psql: Path, page: Path
) -> None:
    cli = Cli(PG_DURABLE_DSN=db.conninfo)
    printed: list[str] = []

    async def registered() -> object:
        return await db.scalar("select count(*) from df._worker_epoch")

    await until(registered)
    async with psql_session(psql, db.conninfo) as session:
        for block in blocks(page):
            place = f"{page.name}, line {block.line}"
            if block.language == "sql":
                assert not _errors(printed), f"{place}: before it, {_errors(printed)}"
                shown = await session.run(block.text.replace(PLACE, api.url("")))
                printed = _normal(shown.replace(api.url(""), PLACE))
                if block.note == "until it waits":
                    await until(lambda: _all_wait(db))
                elif block.note != "not awaited":
                    await db.wait_all()
            elif block.language == "sh" and _is_run(block.text):
                printed = _normal(await _run_command(db, cli, block.text))
            elif not block.language:
                assert printed == _normal(block.text), place
                printed = []

        assert not _errors(printed)


def _normal(text: str) -> list[str]:
    for pattern, placeholder in _HERE:
        text = re.sub(pattern, placeholder, text)
    return normal(text)


def _errors(printed: list[str]) -> list[str]:
    return [line for line in printed if line.startswith("ERROR:")]


async def _all_wait(db: Database) -> bool:
    """Whether every unfinished instance waits for something other than a worker."""
    waiting = await db.rows("select waits_for from df.waiting_for()")
    return not any("worker" in waits_for for (waits_for,) in waiting)


def _is_run(script: str) -> bool:
    return re.match(rf"pg-durable ({'|'.join(_COMMANDS)})\b", script) is not None


async def _run_command(db: Database, cli: Cli, line: str) -> str:
    if _ID in line:
        newest = "select id from df.instances order by created_at desc limit 1"
        line = line.replace(_ID, await db.scalar(newest))
    ran = await cli(*line.split()[1:])
    return ran.out + ran.err


async def test_every_function_is_in_the_reference_with_its_signature(db: Database) -> None:
    functions = await db.rows(
        "select p.proname, pg_get_function_arguments(p.oid), pg_get_function_result(p.oid)"
        " from pg_proc p where p.pronamespace = 'df'::regnamespace and p.proname not like '\\_%'"
    )

    signatures = {_signature(*row) for row in functions}
    shown = {
        " ".join(part.split())
        for block in blocks(REFERENCE)
        if block.language == "text"
        for part in re.split(r"\n(?=df\.)", block.text)
    }

    assert signatures == shown
    headings = re.findall(r"^### .*$", REFERENCE.read_text(), re.MULTILINE)
    for name, *_ in functions:
        assert any(f"df.{name}" in heading for heading in headings), f"df.{name} has no heading"


def _signature(name: str, arguments: str, result: str) -> str:
    text = f"df.{name}({arguments}) → {result}"
    return (
        re.sub(r"::\w+| with time zone", "", text)
        .replace("TABLE(", "table (")
        .replace("DEFAULT", "default")
        .replace("VARIADIC", "variadic")
        .replace("NULL", "null")
        .replace("SETOF", "setof")
        .replace("timestamp", "timestamptz")
    )


async def test_every_operator_is_in_the_reference(db: Database) -> None:
    operators = await db.rows(
        "select o.oprname from pg_operator o join pg_proc p on p.oid = o.oprcode"
        " where p.pronamespace = 'df'::regnamespace"
    )

    headings = re.findall(r"^### `(?:a )?(\S+) .*$", REFERENCE.read_text(), re.MULTILINE)

    assert sorted(headings) == sorted(name for (name,) in operators)


async def test_every_error_of_the_reference_is_raised_as_it_says(
    db: Database, worker: Worker
) -> None:
    rows = list(tables(REFERENCE, "call", "SQLSTATE", "message"))

    assert len(rows) > 10
    for call, sqlstate, message in rows:
        if call.endswith(" in a step"):
            raised = await _failure_of_step(db, call.removesuffix(" in a step"))
        else:
            raised = await _error_of(db, call)
        assert raised[0] == sqlstate, f"{call}: {raised}"
        assert normal(message)[0] in normal(raised[1])[0], f"{call}: {raised}"


async def _error_of(db: Database, call: str) -> tuple[str | None, str]:
    statements = call.split("; ")
    try:
        for statement in statements[:-1]:
            await db.rows(statement)
        await db.rows(f"select {statements[-1]}")
    except psycopg.Error as error:
        return error.sqlstate, error.diag.message_primary or ""
    finally:
        await db.rows("reset all")
    return None, "no error"


async def _failure_of_step(db: Database, call: str) -> tuple[str | None, str]:
    instance = await db.start_sql(f"select {call}")
    await db.wait(instance)
    details = await db.scalar(
        "select status_details from df.nodes where instance_id = %s", instance
    )
    return (details or {}).get("sqlstate"), await db.output(instance) or "no error"


def test_every_test_that_a_page_names_exists() -> None:
    named = [
        (page.name, *match)
        for page in PAGES
        for match in re.findall(r"`(tests/[\w/]+\.py)`[:,] `(test_\w+)`", page.read_text())
    ]

    assert len(named) > 10
    for page, file, test in named:
        tree = ast.parse((ROOT / file).read_text())
        defined = {getattr(node, "name", None) for node in ast.walk(tree)}
        assert test in defined, f"{page} names {test}, which {file} does not have"


def test_every_link_leads_somewhere() -> None:
    for page in [*PAGES, ROOT / "README.md"]:
        for target in re.findall(r"\]\(([^)#]+)(?:#[\w-]*)?\)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_settings_tables_are_those_of_the_program() -> None:
    rows = list(tables(SETTINGS, "setting", "default", "range", "means"))

    about = [(item, item.metadata["about"]) for item in numbers()]
    assert [row for row in rows if "." not in row[0]] == [
        [item.name, f"{item.default:.10g}", f"{a.least:.0f} – {a.most:.0f}", a.means]
        for item, a in about
    ]
    assert list(tables(SETTINGS, "setting", "means")) == [
        [item.name, item.metadata["means"]] for item in texts()
    ]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_the_access_rules_let_a_worker_in_as_the_role_of_a_step(tmp_path: Path) -> None:
    ident, local, tcp, passwords = [b.text for b in blocks(OPERATIONS) if b.language == "text"]
    me = getpass.getuser()
    port = _free_port()
    passfile = tmp_path / "passwords"
    passfile.write_text(passwords.replace("db.example:5432", f"127.0.0.1:{port}"))
    passfile.chmod(0o600)

    with EmbeddedServer(
        tmp_path / "server", listen="127.0.0.1", port=port, settings=FAST
    ) as server:
        admin = await Database.connect(server.dsn())
        await admin.rows("create database app")
        await admin.rows("create role app_role login password 'another secret'")
        await admin.rows("create role df_worker login password 'secret'")
        install(server.dsn("app"))
        app = await Database.connect(server.dsn("app"))
        await app.rows("select df.grant_usage('app_role'), df.grant_worker('df_worker')")
        role = await app.connect_as("app_role")
        over_socket = server.dsn("app", user="df_worker")
        over_tcp = make_conninfo(
            host="127.0.0.1", port=port, dbname="app", user="df_worker", passfile=str(passfile)
        )
        (server.data_dir / "pg_ident.conf").write_text(ident.replace(" pgdurable ", f" {me} "))

        for rules, conninfo in ((local, over_socket), (tcp, over_tcp)):
            (server.data_dir / "pg_hba.conf").write_text(rules)
            await admin.rows("select pg_reload_conf()")
            await _until_loaded(admin, rules)
            async with worker_here(conninfo):
                instance = await role.start_sql("select current_user::text as who")
                assert await role.wait(instance) == "completed", await role.output(instance)
            assert (await role.result(instance))["rows"] == [{"who": "app_role"}]

        for session in (role, app, admin):
            await session.close()


async def _until_loaded(admin: Database, rules: str) -> None:
    """Wait until the file has these rules, without an error."""
    kinds = [(line.split()[0], None) for line in rules.splitlines() if line[0] != "#"]

    async def loaded() -> bool:
        return await admin.rows("select type, error from pg_hba_file_rules") == kinds

    await until(loaded)
