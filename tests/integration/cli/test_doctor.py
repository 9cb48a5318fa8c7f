"""doctor, on real databases: what is well, what is not, and what an ordinary role sees."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from psycopg.conninfo import make_conninfo

from integration.cli.running import Cli, Ran
from pg_durable.embedded import EmbeddedServer
from pg_durable.engine.worker import Worker
from support.database import Database
from support.waiting import until

PROBLEM = 5


def states(ran: Ran) -> dict[str, str]:
    """What came of the checks that are not well."""
    checks = ran.document["checks"]
    return {check["name"]: check["state"] for check in checks if check["state"] != "ok"}


def check(ran: Ran, name: str) -> Any:
    (found,) = (check for check in ran.document["checks"] if check["name"] == name)
    return found


@pytest.fixture
async def role(db: Database) -> AsyncIterator[str]:
    """A role that may use df."""
    await db.rows("create role cli_doctor login")
    await db.rows("select df.grant_usage('cli_doctor')")
    yield "cli_doctor"
    await db.rows("drop owned by cli_doctor")
    await db.rows("drop role cli_doctor")


async def start_as(db: Database, role: str, workflow: str) -> str:
    session = await db.connect_as(role)
    try:
        return await session.start(workflow)
    finally:
        await session.close()


async def test_all_is_well_where_a_worker_runs(cli: Cli, db: Database, worker: Worker) -> None:
    waiting = await db.start("df.sleep(1000)")
    await db.wait(await db.start("'select 1'"))

    async def parked() -> object:
        return await db.scalar("select due_at is not null from df.instances where id = %s", waiting)

    await until(parked)
    plain = await cli("doctor")
    as_json = await cli("doctor", "--json")

    lines = plain.out.splitlines()
    assert (plain.code, as_json.code, lines[-1]) == (0, 0, "All is well.")
    assert all(line.startswith("✓ ") for line in lines[:-2])
    assert "1 running, 1 completed" in plain.out
    assert "(1) is in work, due, or waits for something" in plain.out
    assert as_json.document["healthy"]
    (seen,) = check(as_json, "workers")["facts"]["workers"]
    assert seen["alive"]
    assert seen["name"] in plain.out
    assert 0 <= seen["silent_for"] < 30


async def test_without_a_worker_what_is_due_becomes_a_problem(cli: Cli, db: Database) -> None:
    await db.start("'select 1'")

    at_once = await cli("doctor", "--json")
    await db.rows("update df.instances set due_at = now() - interval '31 s'")
    later = await cli("doctor", "--json")
    plain = await cli("doctor")

    assert (at_once.code, states(at_once)) == (0, {"workers": "warning"})
    assert (later.code, states(later)) == (PROBLEM, {"workers": "warning", "due": "problem"})
    assert plain.out.splitlines()[-1] == "1 problem, 1 warning."
    assert "pg-durable worker" in plain.out


async def test_what_a_killed_worker_left_behind_is_due(cli: Cli, db: Database) -> None:
    await db.start("'select 1'")
    await db.rows(
        "insert into df._worker_epoch (worker, name, last_seen_at) overriding system value"
        " values (77, 'gone', now() - interval '40 s')"
    )
    await db.rows("update df.instances set status = 'running', worker = 77")

    ran = await cli("doctor", "--json")

    assert states(ran) == {"workers": "warning", "due": "problem"}
    assert "gone: 77 (gone), heartbeat 40" in check(ran, "workers")["said"]
    assert check(ran, "due")["facts"]["left_behind"] == 1


async def test_a_silent_worker_is_not_taken_for_alive(cli: Cli, db: Database) -> None:
    worker = await db.scalar("select df._register('frozen')")
    await db.rows("update df._worker_epoch set last_seen_at = now() - interval '40 s'")

    ran = await cli("doctor", "--json")

    assert check(ran, "workers")["state"] == "warning"
    assert f"silent: {worker} (frozen), heartbeat 40" in check(ran, "workers")["said"]


async def test_stuck_instances_are_named_and_can_be_set_going(
    cli: Cli, db: Database, worker: Worker
) -> None:
    await db.wait(await db.start("'select 0'"))  # so the worker is there
    await db.rows("begin")
    stuck = await db.start("'select 1'")
    await db.rows("update df.instances set due_at = null where id = %s", stuck)
    await db.rows("commit")

    found = await cli("doctor", "--json")
    advice = check(found, "stuck")["advice"]
    await db.rows(advice[advice.index("update ") :])
    await db.wait(stuck)
    healed = await cli("doctor", "--json")

    assert (found.code, states(found)) == (PROBLEM, {"stuck": "problem"})
    assert check(found, "stuck")["facts"]["instances"] == [stuck]
    assert (healed.code, states(healed)) == (0, {})


async def test_instances_given_back_are_named(cli: Cli, db: Database) -> None:
    instance = await db.start("'select 1'")
    await db.rows("update df.instances set attempts = 3, due_at = now() + interval '1 min'")

    ran = await cli("doctor", "--json")

    assert states(ran) == {"workers": "warning", "retries": "warning"}
    assert f"{instance} (given back 3 times)" in check(ran, "retries")["said"]


@pytest.mark.parametrize(
    ("harm", "said", "cure"),
    [
        ("alter role cli_doctor nologin", "may not log in", "alter role cli_doctor login"),
        ("drop owned by cli_doctor", "may not use df", "select df.grant_usage('cli_doctor')"),
    ],
)
async def test_roles_whose_steps_cannot_run_are_told(
    cli: Cli, db: Database, role: str, harm: str, said: str, cure: str
) -> None:
    await start_as(db, role, "df.sleep(1000)")
    await db.rows(harm)

    ran = await cli("doctor", "--json")

    assert (ran.code, check(ran, "roles")["state"]) == (PROBLEM, "problem")
    assert f"role cli_doctor {said} (1 instance unfinished)" in check(ran, "roles")["said"]
    assert check(ran, "roles")["advice"] == f"To do: {cure}"


async def test_a_role_that_is_gone_is_told(cli: Cli, db: Database) -> None:
    await db.start("df.sleep(1000)")
    await db.rows("update df.instances set submitted_by = 999999::oid::regrole")

    ran = await cli("doctor", "--json")

    assert "OID 999999 is gone (1 instance unfinished)" in check(ran, "roles")["said"]


async def test_a_database_in_which_steps_cannot_run_is_told(
    cli: Cli, db: Database, role: str
) -> None:
    await db.rows("create database closing")
    await db.rows("revoke connect on database closing from public")
    session = await db.connect_as(role)
    for workflow in ("df.sleep(1000)", "df.sleep(2000)"):
        await session.rows(f"select df.start({workflow}, null, 'closing')")
    await session.close()

    forbidden = await cli("doctor", "--json")
    await db.rows("drop database closing")
    gone = await cli("doctor", "--json")

    assert (forbidden.code, gone.code) == (PROBLEM, PROBLEM)
    assert (
        "role cli_doctor may not connect to database closing (2 instances unfinished)"
        in check(forbidden, "roles")["said"]
    )
    assert check(forbidden, "roles")["advice"] == (
        "To do: grant connect on database closing to cli_doctor"
    )
    assert "database closing, which is gone" in check(gone, "roles")["said"]


async def test_instances_of_superusers_that_will_be_refused_are_told(
    cli: Cli, db: Database
) -> None:
    await db.start("df.sleep(1000)")

    ran = await cli("doctor", "--json", PGOPTIONS="-c pg_durable.enable_superuser_instances=off")

    assert (ran.code, check(ran, "superusers")["state"]) == (PROBLEM, "problem")
    assert "1 instance of postgres will be refused" in check(ran, "superusers")["said"]


async def test_an_ordinary_role_sees_its_own_and_is_told_so(
    cli: Cli, db: Database, worker: Worker, role: str
) -> None:
    await db.wait(await db.start("'select 1'"))
    own = await start_as(db, role, "df.sleep(1000)")
    await db.rows("update df.instances set attempts = 3 where id = %s", own)
    dsn = make_conninfo(db.conninfo, user=role)

    plain = await cli("doctor", dsn)
    as_json = await cli("doctor", "--dsn", dsn, "--json")

    assert "(of role cli_doctor; it may not see those of others)" in plain.out
    assert plain.out.splitlines()[-1].endswith(", as far as role cli_doctor can see.")
    assert as_json.code == 0
    assert sum(check(as_json, "instances")["facts"]["by_status"].values()) == 1
    assert check(as_json, "workers")["said"].startswith("1 alive: ")


async def test_a_schema_that_does_not_fit_is_the_problem(cli: Cli, db: Database) -> None:
    await db.rows("update df._schema set migration = 1, version = '0.1.0'")
    older = await cli("doctor")
    await db.rows("update df._schema set migration = 9999, version = '99.0'")
    newer = await cli("doctor")

    assert (older.code, newer.code) == (PROBLEM, PROBLEM)
    assert "of pg_durable 0.1.0 (migration 1)" in older.out
    assert "Run: pg-durable install" in older.out
    assert "pip install --upgrade pg-durable" in newer.out


async def test_another_version_with_tables_that_fit_is_a_warning(cli: Cli, db: Database) -> None:
    await db.rows("update df._schema set version = '0.1.0'")

    ran = await cli("doctor", "--json")

    assert (ran.code, check(ran, "schema")["state"]) == (0, "warning")


async def test_an_absent_schema_is_the_problem(nowhere: Cli, server: EmbeddedServer) -> None:
    ran = await nowhere("doctor", server.dsn("template1"))

    assert ran.code == PROBLEM
    assert "has no df schema. Create it, with the same connection: pg-durable install" in ran.out
    assert ran.out.splitlines()[-1] == "1 problem; nothing more can be checked."


async def test_what_the_workers_role_lacks_is_printed_line_by_line(
    cli: Cli, db: Database, role: str
) -> None:
    await db.rows("create role cli_worker login")
    try:
        ran = await cli("doctor", "--identity", "set_role", "--as-worker", "cli_worker")
    finally:
        await db.rows("drop role cli_worker")

    assert ran.code == PROBLEM
    grants = ran.out.partition("-- as a superuser\n")[2].splitlines()
    assert grants[0].strip() == "select df.grant_worker('cli_worker');"
    assert grants[1].strip().startswith("grant cli_doctor to cli_worker")


async def test_an_identity_or_a_worker_that_is_none_is_refused(cli: Cli) -> None:
    no_identity = await cli("doctor", "--identity", "sudo")
    no_worker = await cli("doctor", "--as-worker", "nobody here")

    assert (no_identity.code, no_worker.code) == (2, 1)
    assert "--identity is 'sudo'; it must be login or set_role." in no_identity.err
    assert 'There is no role "nobody here"' in no_worker.err


async def test_it_writes_nothing(cli: Cli) -> None:
    ran = await cli("doctor", PGOPTIONS="-c default_transaction_read_only=on")

    assert ran.code == 0
