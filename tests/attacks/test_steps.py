"""Attempts from within a step, which runs in a session of the worker's making.

The session logged in as the attacker, so there is no other role to fall back to. What a step does
to its session harms nobody else's, and not the next step of its own role either.
"""

from contextlib import suppress

import psycopg
import pytest

from attacks.conftest import Victim
from support.database import Database

CLEAN = """select current_user::text as who, session_user::text as session,
    current_setting('search_path') as path, current_setting('TimeZone') as zone,
    current_setting('statement_timeout') as timeout, current_setting('row_security') as rls,
    current_setting('client_encoding') as encoding, current_setting('DateStyle') as dates,
    current_setting('df.in_workflow') as inside,
    (select count(*) from pg_listening_channels()) as channels,
    (select count(*) from pg_prepared_statements where from_sql) as prepared,
    (select count(*) from pg_cursors where is_holdable) as cursors,
    (select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()) as locks,
    (select count(*) from pg_class where relnamespace = pg_my_temp_schema()) as temporary"""
AS_LOGGED_IN = {
    "who": "attack_attacker", "session": "attack_attacker", "path": '"$user", public',
    "zone": "UTC", "timeout": "0", "rls": "on", "encoding": "UTF8", "dates": "ISO, MDY",
    "inside": "true", "channels": 0, "prepared": 0, "cursors": 0, "locks": 0, "temporary": 0,
}  # fmt: skip


def _do(*statements: str) -> str:
    """One statement that executes several."""
    return "do $do$ begin " + "".join(f"execute $x${s}$x$; " for s in statements) + "end $do$"


def _hijack(name: str, statement: str, types: str = "") -> tuple[str, str]:
    return f"deallocate {name}", f"prepare {name}{types} as {statement}"


_TYPES = "(text, int8, text[], int, text, int[], text[], text[], text[], text, text)"
_END_STEP = ("pg_durable_end_step", "select 1", _TYPES)

# What a step may try without being refused: the next one finds a session as after a login.
TRACELESS = {
    "reset role": "reset role",
    "reset session authorization": "reset session authorization",
    "settings": _do(
        "set search_path = attic", "set timezone = 'Asia/Kathmandu'", "set row_security = off",
        "set statement_timeout = '1h'", "set datestyle = German", "set df.in_workflow = false",
        "set client_encoding = LATIN1", "set standard_conforming_strings = off",
        "set extra_float_digits = -15", "set bytea_output = 'escape'", "set lock_timeout = 5000",
        "set default_transaction_isolation = serializable",
        "set idle_in_transaction_session_timeout = '1h'", "set local role attack_attacker",
    ),
    "a server that sends another encoding": (
        "select set_config('client_encoding', 'LATIN1', false), 'é' as e"
    ),
    "commit": "commit",
    "commit and chain": "commit and chain",
    "rollback": "rollback",
    "begin": "begin",
    "a read-only transaction": "set transaction read only",
    "a savepoint": "savepoint s",
    "postponed constraints": "set constraints all deferred",
    "a cursor with hold": "declare c cursor with hold for select generate_series(1, 1000)",
    "temporary objects": _do(
        "create temp table instances (id text)", "create temp table nodes (id text)",
        "create function pg_temp._checkpoint() returns void language sql as ''",
    ),
    "listening to the workers": "listen pg_durable",
    "advisory locks of workers": (
        "select pg_try_advisory_lock(1885824117, 0), pg_advisory_lock(1885824117, 99)"
    ),
    "a prepared statement of one's own": "prepare mine as select 1",
    "deallocate all": "deallocate all",
    "discard all": "discard all",
    "discard plans": "discard plans",
}  # fmt: skip

# What ends the attacker's workflow, and the SQLSTATE that it fails with.
FATAL = {
    "set role": ("set role postgres", "42501"),
    "the victim's role": ("set role attack_victim", "42501"),
    "session authorization": ("set session authorization postgres", "42501"),
    "session authorization within": (_do("set session authorization attack_victim"), "42501"),
    "replica": ("set session_replication_role = replica", "42501"),
    "event trigger": ("create event trigger e on sql_drop execute function f()", "42501"),
    "preload": ("set session_preload_libraries = 'x'", "42501"),
    "several statements": ("select 1; select pg_sleep(0)", "42601"),
    "copy from the worker": ("copy attic.t from stdin", "WF009"),
    "copy to the worker": ("copy (select 1) to stdout", "WF009"),
    "copy from a file": ("copy attic.t from '/etc/passwd'", "42501"),
    "a result without end": (
        "select repeat('x', 1000) from generate_series(1, 100000000)",
        "WF007",
    ),
    "to cancel itself": ("select pg_cancel_backend(pg_backend_pid())", "57014"),
    "a prepared transaction": ("prepare transaction 'attack'", "55000"),
    "a deferred trigger that raises": ("insert into attic.deferred values (1)", "P0001"),
    "another's ledger": ("insert into ledger values ('forged')", "42501"),
    "the instances": ("update df.instances set status = 'completed'", "42501"),
    "to cancel another's": ("select df.cancel('{waiting}')", "WF003"),
    "to signal another's": ("select df.signal('{waiting}', 'go')", "WF003"),
    "variables": ("select df.setvar('secret', 'x')", "WF004"),
    "to wait": ("select df.await_instance('{waiting}', 1000)", "WF004"),
    "the checkpoint of another's": (
        "select df._checkpoint('{waiting}', {worker}, array['{node}'], array[1],"
        " array['completed'], array['1'], array[null], 'completed', null)",
        "WF002",
    ),
    "to claim": ("select df._claim({worker}, 100)", "42501"),
    "to end the worker": (
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where application_name = 'pg_durable:worker:poll'",
        "42501",
    ),
    "to cancel the victim's statements": (
        "select pg_cancel_backend(pid) from pg_stat_activity where usename = 'attack_victim'",
        "42501",
    ),
    "a null character": ("select chr(0)", "54000"),
    "to end the victim's session": (
        "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'attack_victim'",
        "42501",
    ),
}


@pytest.mark.parametrize("attempt", TRACELESS)
async def test_a_step_leaves_nothing_in_its_session(
    victim: Victim, attacker: Database, attempt: str
) -> None:
    dirty = TRACELESS[attempt]

    instance = await attacker.start(f"$step${dirty}$step$ ~> $step${CLEAN}$step$")

    assert await attacker.completed_rows(instance) == [AS_LOGGED_IN]
    again = await attacker.start(f"$step${CLEAN}$step$")
    assert await attacker.completed_rows(again) == [AS_LOGGED_IN]
    await victim.is_unharmed()


@pytest.mark.parametrize("attempt", FATAL)
async def test_a_step_that_is_refused_ends_its_own_workflow_only(
    victim: Victim, attacker: Database, attempt: str
) -> None:
    statement, sqlstate = FATAL[attempt]
    await attacker.rows("create table attic.t (line text)")
    await attacker.rows("create table attic.deferred (i int)")
    await attacker.rows(
        "create function attic.refuse() returns trigger language plpgsql as"
        " $$ begin raise exception 'refused'; end $$"
    )
    await attacker.rows(
        "create constraint trigger t after insert on attic.deferred deferrable initially deferred"
        " for each row execute function attic.refuse()"
    )
    for name, value in (("waiting", victim.waiting), ("node", victim.node)):
        statement = statement.replace("{" + name + "}", value)
    statement = statement.replace("{worker}", str(victim.worker))

    instance = await attacker.start(f"$step${statement}$step$ ~> 'select 1'")

    assert await attacker.wait(instance) == "failed"
    failure = (await attacker.result(instance))["error"]
    assert failure["sqlstate"] == sqlstate, failure
    again = await attacker.start(f"$step${CLEAN}$step$")
    assert await attacker.completed_rows(again) == [AS_LOGGED_IN]
    await victim.is_unharmed()


async def test_a_session_in_which_a_step_replaced_its_checkpoint_is_not_used_again(
    victim: Victim, attacker: Database
) -> None:
    dirty = _do(*_hijack(*_END_STEP), "set search_path = attic")

    instance = await attacker.start(f"$step${dirty}$step$")

    assert await attacker.wait(instance) == "failed"
    assert "put something else in the place" in str(await attacker.output(instance))
    again = await attacker.start(f"$step${CLEAN}$step$")
    assert await attacker.completed_rows(again) == [AS_LOGGED_IN]
    await victim.is_unharmed()


async def test_a_checkpoint_prepared_by_a_step_serves_no_other_role(
    victim: Victim, attacker: Database
) -> None:
    call = "select df._checkpoint_alike($1, $2, $3, $4, $5, false)"
    forged = f"prepare pg_durable_end_step{_TYPES} as {call}"

    instance = await attacker.start(f"$step${_do('deallocate all', forged)}$step$ ~> 'select 1'")

    await attacker.wait(instance)
    await victim.is_unharmed()


async def test_a_trigger_deferred_to_the_very_commit_runs_with_its_own_roles_rights(
    victim: Victim, attacker: Database
) -> None:
    # The trigger postpones another one behind the cleaning, where the checkpoint is done already.
    await attacker.rows("create table attic.first (i int); create table attic.second (i int)")
    await attacker.rows("create table attic.captured (who text, session text, done bigint)")
    await attacker.rows(
        "create function attic.postpone() returns trigger language plpgsql as $$ begin"
        " execute 'set constraints all deferred'; insert into attic.second values (1);"
        " return null; end $$;"
        "create function attic.act() returns trigger language plpgsql as $$ begin"
        " insert into attic.captured values (current_user, session_user, 0);"
        " begin execute 'set session authorization postgres'; exception when others then null; end;"
        " begin update df.nodes set result = '1'; exception when others then null; end;"
        " begin delete from public.ledger; exception when others then null; end;"
        " insert into attic.captured values (current_user, session_user, 1);"
        " return null; end $$"
    )
    for table, function in (("first", "postpone"), ("second", "act")):
        await attacker.rows(
            f"create constraint trigger t after insert on attic.{table} deferrable initially"
            f" deferred for each row execute function attic.{function}()"
        )

    instance = await attacker.start("'insert into attic.first values (1)' ~> 'select 5 as v'")

    assert await attacker.completed_rows(instance) == [{"v": 5}]
    assert await attacker.rows("select * from attic.captured order by done") == [
        ("attack_attacker", "attack_attacker", 0),
        ("attack_attacker", "attack_attacker", 1),
    ]
    await victim.is_unharmed()


async def test_settings_of_ones_own_role_harm_ones_own_steps_only(
    victim: Victim, attacker: Database
) -> None:
    await victim.db.rows("grant attack_attacker to postgres")
    for setting in (
        "search_path = attic", "statement_timeout = 1", "lock_timeout = 1",
        "idle_in_transaction_session_timeout = 1", "default_transaction_read_only = on",
        "default_transaction_isolation = serializable", "role = attack_attacker",
        "standard_conforming_strings = off", "client_encoding = SJIS", "row_security = off",
        "default_transaction_deferrable = on", "plan_cache_mode = force_generic_plan",
        "df.in_workflow = false", "log_statement_sample_rate = 1",
    ):  # fmt: skip
        with suppress(psycopg.errors.InsufficientPrivilege):
            await attacker.rows(f"alter role attack_attacker set {setting}")

    instance = await attacker.start("'select pg_sleep(0.1)' ~> 'select 1'")

    assert await attacker.wait(instance) in ("failed", "completed")
    await victim.is_unharmed()


async def test_a_session_that_a_role_ends_itself_is_given_back(
    victim: Victim, attacker: Database
) -> None:
    suicide = "select pg_terminate_backend(pg_backend_pid())"
    others = (
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where usename = current_user and pid <> pg_backend_pid()"
    )

    instance = await attacker.start(f"'{suicide}' & '{others}'")

    assert await victim.db.wait(instance) == "failed"
    assert "given up after 3 attempts" in await victim.db.output(instance)
    await victim.is_unharmed()


async def test_a_flood_of_notices_and_notifications_from_steps_stops_nobody(
    victim: Victim, attacker: Database
) -> None:
    notices = (
        "do $x$ begin for i in 1..50000 loop raise notice ''%%'', repeat(''x'', 200); end loop;"
        " end $x$"
    )
    flood = (
        "select count(pg_notify(''pg_durable'', p || '' '' || g)) from generate_series(1, 20000) g,"
        f" unnest(array[''cancel'', ''signal'', ''nonsense'', ''cancel {victim.waiting}'',"
        f" ''signal {victim.waiting}'']) p"
    )

    instance = await attacker.start(f"('{notices}' & '{flood}') ~> 'select 1 as v'")

    assert await attacker.completed_rows(instance) == [{"v": 1}]
    await victim.is_unharmed()


async def test_a_step_sees_no_password_and_no_statement_of_the_worker(
    victim: Victim, attacker: Database
) -> None:
    instance = await attacker.start(
        "$$select count(*) filter (where query <> '<insufficient privilege>') as seen"
        "  from pg_stat_activity where usename <> current_user$$"
    )

    assert await attacker.completed_rows(instance) == [{"seen": 0}]
    await victim.is_unharmed()
