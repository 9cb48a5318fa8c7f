"""How a server lets workers in as the roles of steps: each way, and what doctor says is missing."""

import getpass
import os
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trustme
from psycopg import sql
from psycopg.conninfo import make_conninfo

from integration.cli.running import Cli, Ran
from pg_durable.embedded import EmbeddedServer
from pg_durable.schema import install
from support.database import Database
from support.waiting import until
from support.workers import worker_here

FAST = {"fsync": "off", "shared_buffers": "16MB", "max_connections": "60"}
ODD_NAMES = ('Odd "One", #1', "größe:\\ Ñ", "x" * 63, "all", "/slash", "+plus")
PROBLEM = 5
_TLS = "select setting <> '' from pg_settings where name = 'ssl_library'"


@dataclass
class Guarded:
    """A server whose rules of access a test writes; the superuser gets in over the socket."""

    server: EmbeddedServer
    port: int
    passfile: Path
    admin: Database
    roles: list[str] = field(default_factory=list)

    @property
    def over_socket(self) -> str:
        """The worker's connection string."""
        return make_conninfo(self.server.dsn(), user="worker_role")

    def over_tcp(self, **more: str) -> str:
        """The worker's connection string over TCP."""
        return make_conninfo(
            host="localhost", port=self.port, dbname="postgres", user="worker_role",
            passfile=str(self.passfile), **more,
        )  # fmt: skip

    async def rule(self, hba: str, ident: str = "") -> None:
        """Let the server read these rules, below those of the tests themselves."""
        me = getpass.getuser()
        self.hba = f"local all postgres peer map=tests\n{hba}"
        self.ident = f'tests "{me}" postgres\n{ident}'
        (self.server.data_dir / "pg_hba.conf").write_text(self.hba)
        (self.server.data_dir / "pg_ident.conf").write_text(self.ident)
        await self.admin.rows("select pg_reload_conf()")
        wanted = [line.split()[0] for line in self.hba.splitlines()]

        async def loaded() -> bool:
            rules = await self.admin.rows("select type, error from pg_hba_file_rules")
            return rules == [(kind, None) for kind in wanted]

        await until(loaded)

    async def create(self, name: str, rest: str = "login") -> None:
        """Create a role that may have workflows."""
        await self.admin.rows(f"create role {sql.Identifier(name).as_string()} {rest}")
        await self.admin.rows("select df.grant_usage(%s)", name)
        self.roles.append(name)

    async def start(self, name: str) -> str:
        """Start a workflow of that role that tells who it is."""
        role = sql.Identifier(name).as_string()
        await self.admin.rows(f"set role {role}")
        try:
            return await self.admin.start("'select current_user::text as who'")
        finally:
            await self.admin.rows("reset role")

    async def follow(self, lines: list[str]) -> None:
        """Do what doctor says."""
        added: dict[str, list[str]] = {}
        for line in lines:
            if line.startswith(("# ", "-- ")):
                part = added.setdefault(line, [])
            else:
                part.append(line)
        hba = ident = ""
        for heading, text in added.items():
            if "pg_ident.conf" in heading:
                ident = "".join(f"{line}\n" for line in text)
            elif "pg_hba.conf" in heading:
                hba = "".join(f"{line}\n" for line in text)
            elif "password file" in heading:
                with self.passfile.open("a") as file:
                    file.writelines(f"{line.replace('PASSWORD', 'secret')}\n" for line in text)
            else:
                for statement in text:
                    await self.admin.rows(statement)
        before = self.hba.partition("\n")[2], self.ident.partition("\n")[2]
        await self.rule(hba + before[0], ident + before[1])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A server of this file's own, over TCP with certificates too."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("logins")
    with EmbeddedServer(folder / "server", listen="localhost", port=port, settings=FAST) as server:
        install(server.dsn())
        yield server, port, folder


@pytest.fixture
async def guarded(
    server: tuple[EmbeddedServer, int, Path], tmp_path: Path
) -> AsyncIterator[Guarded]:
    """The server with a worker's role and nobody else."""
    running, port, _ = server
    passfile = tmp_path / "passwords"
    passfile.touch(0o600)
    admin = await Database.connect(running.dsn())
    guarded = Guarded(running, port, passfile, admin)
    await guarded.rule("")
    await admin.rows("create role worker_role login password 'own secret'")
    await admin.rows("select df.grant_worker('worker_role')")
    guarded.roles.append("worker_role")
    yield guarded
    await admin.rows("truncate df.instances, df.nodes")
    for role in map(sql.Identifier, guarded.roles):
        for statement in ("drop owned by {}", "drop role {}"):
            await admin.session.execute(sql.SQL(statement).format(role))
    await admin.close()


@pytest.fixture
def doctor() -> Callable[..., Any]:
    """`pg-durable doctor --json` with a connection string."""

    async def doctor(dsn: str, *options: str) -> Ran:
        return await Cli()("doctor", dsn, "--json", *options)

    return doctor


def logins(ran: Ran) -> Any:
    (check,) = (check for check in ran.document["checks"] if check["name"] == "logins")
    return check


async def run_as(guarded: Guarded, conninfo: str, *names: str, **settings: str) -> list[str]:
    """Run a workflow of each role; who its steps were, or why they failed."""
    instances = [await guarded.start(name) for name in names]
    said = []
    async with worker_here(conninfo, **settings):
        for instance in instances:
            if await guarded.admin.wait(instance) == "completed":
                said.append((await guarded.admin.result(instance))["rows"][0]["who"])
            else:
                said.append(await guarded.admin.output(instance))
    return said


async def test_over_a_socket_the_lines_of_doctor_let_all_roles_in(
    guarded: Guarded, doctor: Callable[..., Any]
) -> None:
    for name in ODD_NAMES:
        await guarded.create(name)
    await guarded.rule(
        "local all worker_role peer map=tests", f"tests {getpass.getuser()} worker_role"
    )

    before = await doctor(guarded.over_socket)
    await guarded.follow(logins(before)["lines"])
    after = await doctor(guarded.over_socket)

    assert (before.code, logins(before)["state"]) == (PROBLEM, "problem")
    assert (after.code, logins(after)["state"]) == (0, "ok"), logins(after)
    assert await run_as(guarded, guarded.over_socket, *ODD_NAMES) == list(ODD_NAMES)


async def test_where_a_map_is_in_use_already_only_its_lines_are_missing(
    guarded: Guarded, doctor: Callable[..., Any]
) -> None:
    await guarded.create("new_role")
    await guarded.rule("local all all peer map=tests", f"tests {getpass.getuser()} worker_role")

    before = await doctor(guarded.server.dsn())

    lines = logins(before)["lines"]
    assert lines[1:] == [
        f"tests  {getpass.getuser()}  new_role",
        "-- as a superuser",
        "select pg_reload_conf();",
    ]
    await guarded.follow(lines)
    assert await run_as(guarded, guarded.over_socket, "new_role") == ["new_role"]


async def test_over_tcp_the_lines_of_doctor_let_all_roles_in_with_passwords(
    guarded: Guarded, doctor: Callable[..., Any]
) -> None:
    for name in ODD_NAMES:
        await guarded.create(name, "login password 'secret'")
    await guarded.rule("host all worker_role all scram-sha-256")
    guarded.passfile.write_text(f"localhost:{guarded.port}:*:worker_role:own secret\n")

    before = await doctor(guarded.over_tcp())
    await guarded.follow(logins(before)["lines"])
    after = await doctor(guarded.over_tcp())

    assert (before.code, after.code) == (PROBLEM, 0), logins(after)
    assert await run_as(guarded, guarded.over_tcp(), *ODD_NAMES) == list(ODD_NAMES)


async def test_a_worker_that_sends_a_certificate_gets_in_by_a_map(
    guarded: Guarded, doctor: Callable[..., Any], tmp_path: Path
) -> None:
    if not await guarded.admin.scalar(_TLS):
        pytest.skip("this PostgreSQL is built without TLS")
    authority = trustme.CA()
    data = guarded.server.data_dir
    theirs, ours = authority.issue_cert("localhost"), authority.issue_cert(common_name="worker")
    files = {
        data / "root.crt": authority.cert_pem.bytes(),
        data / "server.key": theirs.private_key_pem.bytes(),
        data / "server.crt": theirs.cert_chain_pems[0].bytes(),
        tmp_path / "root.crt": authority.cert_pem.bytes(),
        tmp_path / "worker.key": ours.private_key_pem.bytes(),
        tmp_path / "worker.crt": ours.cert_chain_pems[0].bytes(),
    }
    for path, content in files.items():
        path.write_bytes(content)
        path.chmod(0o600)
        if path.parent == data:
            os.chown(path, data.stat().st_uid, data.stat().st_gid)
    await guarded.admin.rows("alter system set ssl_ca_file = 'root.crt'")
    await guarded.admin.rows("alter system set ssl = on")
    await guarded.create("Some One")
    await guarded.rule(
        "hostssl all worker_role all cert map=pgdurable", "pgdurable worker worker_role"
    )
    conninfo = guarded.over_tcp(
        sslmode="verify-full", sslrootcert=str(tmp_path / "root.crt"),
        sslcert=str(tmp_path / "worker.crt"), sslkey=str(tmp_path / "worker.key"),
    )  # fmt: skip

    async def with_tls() -> bool:
        return bool(await guarded.admin.scalar("select current_setting('ssl')::boolean"))

    try:
        await until(with_tls)
        lines = logins(await doctor(conninfo))["lines"]
        await guarded.follow([line.replace("CN-OF-THE-CERTIFICATE", "worker") for line in lines])
        after = await doctor(conninfo)

        assert after.code == 0, logins(after)
        assert await run_as(guarded, conninfo, "Some One") == ["Some One"]
    finally:
        await guarded.admin.rows("alter system reset ssl")
        await guarded.admin.rows("alter system reset ssl_ca_file")
        await guarded.admin.rows("select pg_reload_conf()")


async def test_trust_lets_everybody_in(guarded: Guarded, doctor: Callable[..., Any]) -> None:
    await guarded.create("trusted")
    await guarded.rule("local all all trust")

    assert (await doctor(guarded.over_socket)).code == 0
    assert await run_as(guarded, guarded.over_socket, "trusted") == ["trusted"]


@pytest.mark.parametrize("english", [True, False])
async def test_whom_the_server_refuses_has_its_steps_fail_whatever_the_language(
    guarded: Guarded, monkeypatch: pytest.MonkeyPatch, english: bool
) -> None:
    if not english:  # as if the server's words were none of those that are known
        monkeypatch.setattr("pg_durable.lanes.login._FINAL", ())
    await guarded.create("rejected")
    await guarded.create("unknown_here", "login password 'secret'")
    await guarded.create("no_password", "login password 'secret'")
    await guarded.create("wrong_password", "login password 'secret'")
    await guarded.create("expired", "login password 'secret' valid until '2001-01-01'")
    await guarded.rule(
        "host all rejected all reject\n"
        "host all worker_role,no_password,wrong_password,expired all scram-sha-256"
    )
    guarded.passfile.write_text(
        f"localhost:{guarded.port}:*:worker_role:own secret\n"
        f"localhost:{guarded.port}:*:wrong_password:guess\n"
        f"localhost:{guarded.port}:*:expired:secret\n"
    )

    names = ("rejected", "unknown_here", "no_password", "wrong_password", "expired")
    said = await run_as(guarded, guarded.over_tcp(), *names)

    reasons = ("pg_hba.conf rejects", "no pg_hba.conf entry", "no password supplied") + (
        "password authentication failed",
    ) * 2
    for name, words, reason in zip(names, said, reasons, strict=True):
        assert words.startswith(f"Failed to connect to database 'postgres' as '{name}'. ")
        assert reason in words


async def test_too_many_connections_are_no_refusal_of_a_role(
    guarded: Guarded, caplog: pytest.LogCaptureFixture
) -> None:
    name = "authentication failed"  # as a careless reader might take the server's words
    await guarded.create(name, "login connection limit 0")
    await guarded.rule("local all all trust")
    instance = await guarded.start(name)

    async def waits() -> bool:
        return f"steps of role {name} wait until the server has a session" in caplog.text

    async with worker_here(guarded.over_socket):
        await until(waits)
        await guarded.admin.rows(f'alter role "{name}" connection limit -1')

        assert await guarded.admin.wait(instance) == "completed"


async def test_an_expired_password_is_told_with_what_to_do(
    guarded: Guarded, doctor: Callable[..., Any]
) -> None:
    await guarded.create("Ex Pired", "login password 'secret' valid until '2001-01-01'")
    await guarded.rule("host all all all scram-sha-256")
    guarded.passfile.write_text(f"localhost:{guarded.port}:*:worker_role:own secret\n")

    lines = logins(await doctor(guarded.over_tcp()))["lines"]

    assert "alter role \"Ex Pired\" valid until 'infinity';" in lines
    assert f"localhost:{guarded.port}:postgres:Ex Pired:PASSWORD" in lines


async def test_a_role_that_may_not_connect_is_told_with_what_to_do(
    guarded: Guarded, doctor: Callable[..., Any]
) -> None:
    await guarded.create("user", "login")
    await guarded.rule("local all all trust")
    await guarded.admin.rows("revoke connect on database postgres from public")
    try:
        lines = logins(await doctor(guarded.server.dsn()))["lines"]
    finally:
        await guarded.admin.rows("grant connect on database postgres to public")

    assert lines == ["-- as a superuser", 'grant connect on database postgres to "user";']


async def test_grants_that_set_role_needs_are_told(
    guarded: Guarded, doctor: Callable[..., Any]
) -> None:
    await guarded.create("Some One")
    await guarded.rule("local all worker_role trust")
    options = ("--identity", "set_role", "--as-worker", "worker_role")

    before = await doctor(guarded.server.dsn(), *options)
    await guarded.follow(logins(before)["lines"])
    after = await doctor(guarded.server.dsn(), *options)

    assert before.code == PROBLEM
    assert logins(before)["lines"][1].startswith('grant "Some One" to worker_role')
    assert after.code == 0, logins(after)
    assert await run_as(guarded, guarded.over_socket, "Some One", identity="set_role") == [
        "Some One"
    ]


async def test_a_worker_without_its_rights_is_told(
    guarded: Guarded, doctor: Callable[..., Any]
) -> None:
    await guarded.admin.rows("select df.revoke_worker('worker_role')")

    before = await doctor(guarded.server.dsn(), "--as-worker", "worker_role")
    await guarded.follow(logins(before)["lines"])
    after = await doctor(guarded.server.dsn(), "--as-worker", "worker_role")

    assert before.code == PROBLEM
    assert "select df.grant_worker('worker_role');" in logins(before)["lines"]
    assert after.code == 0


async def test_a_superuser_that_takes_roles_is_warned_of(
    guarded: Guarded, doctor: Callable[..., Any]
) -> None:
    ran = await doctor(guarded.server.dsn(), "--identity", "set_role")

    assert (ran.code, logins(ran)["state"]) == (0, "warning")


async def test_nobody_who_may_not_know_tries_logins(
    guarded: Guarded, doctor: Callable[..., Any]
) -> None:
    await guarded.create("curious")
    await guarded.rule("local all all trust")

    ran = await doctor(make_conninfo(guarded.server.dsn(), user="curious"))
    not_asked = await doctor(guarded.server.dsn(), "--no-logins")

    for document in (ran.document, not_asked.document):
        assert "logins" not in [check["name"] for check in document["checks"]]


async def test_a_role_renamed_after_its_instance_was_claimed_goes_on(guarded: Guarded) -> None:
    await guarded.create("first_name")
    await guarded.rule("local all all trust")
    await guarded.admin.rows("select pg_advisory_lock(77)")
    holder = await guarded.admin.start("'select pg_advisory_lock(77)'")

    async with worker_here(guarded.over_socket, max_user_connections=1):
        await until(lambda: guarded.admin.active("pg_advisory_lock(77)"))
        instance = await guarded.start("first_name")  # waits for the only session
        claimed = f"select worker is not null from df.instances where id = '{instance}'"
        await until(lambda: guarded.admin.scalar(claimed))
        await guarded.admin.rows("alter role first_name rename to second_name")
        guarded.roles[-1] = "second_name"
        await guarded.admin.rows("select pg_advisory_unlock(77)")

        assert await guarded.admin.wait(instance) == "completed"
        assert await guarded.admin.wait(holder) == "completed"
    assert (await guarded.admin.result(instance))["rows"] == [{"who": "second_name"}]


async def test_a_role_whose_default_is_another_role_works_as_that_one(guarded: Guarded) -> None:
    await guarded.create("clerk")
    await guarded.admin.rows("create role duty nologin")
    await guarded.admin.rows("grant duty to clerk")
    await guarded.admin.rows("alter role clerk set role = duty")
    guarded.roles.append("duty")
    await guarded.rule("local all all trust")
    await guarded.admin.rows("set role clerk")
    who = "select session_user::text as login, current_user::text as who"
    instance = await guarded.admin.start(f"'reset role' ~> 'set role none' ~> '{who}'")
    failing = await guarded.admin.start("'select 1/0'")
    await guarded.admin.rows("reset role")

    async with worker_here(guarded.over_socket):
        assert await guarded.admin.completed_rows(instance) == [{"login": "clerk", "who": "duty"}]
        assert await guarded.admin.wait(failing) == "failed"


async def test_a_role_that_is_gone_or_may_not_log_in_has_its_steps_fail(guarded: Guarded) -> None:
    await guarded.create("locked_out")
    await guarded.rule("local all all trust")
    locked_out = await guarded.start("locked_out")
    gone = await guarded.start("locked_out")
    await guarded.admin.rows(
        "update df.instances set submitted_by = 999999::oid::regrole where id = %s", gone
    )
    await guarded.admin.rows("alter role locked_out nologin")

    async with worker_here(guarded.over_socket):
        assert await guarded.admin.wait(locked_out) == "failed"
        assert await guarded.admin.wait(gone) == "failed"

    assert "is not permitted to log in" in await guarded.admin.output(locked_out)
    assert await guarded.admin.output(gone) == (
        f"Instance {gone}: submitted_by role no longer exists in pg_roles"
    )
