"""Attempts from an ordinary session: on rows of others, through the doors, by planting objects."""

import asyncio
import subprocess
from pathlib import Path

import psycopg
import pytest

from attacks.conftest import VICTIM, Victim
from support.database import Database

# Statements that must be refused, and the SQLSTATE with which.
DENIED = "42501"
REFUSED = {
    "insert an instance": (
        "insert into df.instances (id, root_node, submitted_by)"
        " values ('0000abcd', '0000abcd', 'attack_attacker')",
        DENIED,
    ),
    "take over an instance": (
        "update df.instances set submitted_by = 'attack_attacker' where id = '{waiting}'",
        DENIED,
    ),
    "end an instance": ("update df.instances set status = 'failed'", DENIED),
    "delete an instance": ("delete from df.instances", DENIED),
    "merge into nodes": ("update df.nodes set query = 'drop table ledger'", DENIED),
    "add a node to another's graph": (
        "insert into df.nodes (id, instance_id, node_type, query, submitted_by)"
        " values ('0000abcd', '{waiting}', 'SQL', 'select 1', 'attack_attacker')",
        DENIED,
    ),
    "forge an execution": (
        "insert into df._executions values ('{waiting}', 0, 1, now(), 1)",
        DENIED,
    ),
    "forge a signal row": (
        "insert into df._signals (instance_id, name, data) values ('{waiting}', 'go', '1')",
        DENIED,
    ),
    "read the signals": ("select * from df._signals", DENIED),
    "read the heartbeats": ("select * from df._worker_epoch", DENIED),
    "end a worker": ("delete from df._worker_epoch", DENIED),
    "tamper with the version": ("update df._schema set migration = 999", DENIED),
    "empty a table": ("truncate df.nodes", DENIED),
    "lock the variables": ("begin; lock table df.vars in row exclusive mode", DENIED),
    "lock the instances": ("begin; lock table df.instances in row share mode", DENIED),
    "lock a door": ("begin; lock table df._start in access exclusive mode", DENIED),
    "lock a row": ("begin; select 1 from df.instances for key share", DENIED),
    "lock a node": ("begin; select 1 from df.nodes for update", DENIED),
    "delete variables past the door": ("delete from df.vars", DENIED),
    "plant a variable": (
        "insert into df.vars (name, value, owner) values ('secret', 'x', 'attack_victim')",
        DENIED,
    ),
    "overwrite a variable": (
        "insert into df.vars (name, value, owner) values ('secret', 'x', 'attack_victim')"
        " on conflict (owner, name) do update set value = 'x'",
        DENIED,
    ),
    "give a variable away": (
        "insert into df.vars (name, value) values ('secret', 'x');"
        "update df.vars set owner = 'attack_victim'",
        DENIED,
    ),
    "load variables": ("copy df.vars from '/etc/passwd'", DENIED),
    "forge the caller of a start": (
        "insert into df._start (fut, caller) values ('select 1', 'attack_victim')",
        DENIED,
    ),
    "forge the caller of a cancellation": (
        "insert into df._cancel (instance_id, caller) values ('{waiting}', 'attack_victim')",
        DENIED,
    ),
    "forge the caller of a signal": (
        "insert into df._signal (instance_id, signal_name, caller)"
        " values ('{waiting}', 'go', 'attack_victim')",
        DENIED,
    ),
    "forge the caller of a deletion": (
        "insert into df._unset (name, caller) values ('secret', 'attack_victim')",
        DENIED,
    ),
    "forge the caller of a start in mode new": (
        "insert into df._start_new (fut, caller) values ('select 1', 'attack_victim')",
        DENIED,
    ),
    "forge the caller of a secret": (
        "insert into df._secret (name, value, caller) values ('token', 'x', 'attack_victim')",
        DENIED,
    ),
    "read the secrets": ("select * from df._secrets", DENIED),
    "overwrite a secret": ("update df._secrets set value = 'x'", DENIED),
    "delete the secrets": ("delete from df._secrets", DENIED),
    "copy the secrets": ("copy df._secrets to stdout", DENIED),
    "ask for a secret like a worker": (
        "select * from df._permit(1, '{waiting}', 'df.version()', '[]')",
        DENIED,
    ),
    "refer to a secret": ("select df.secret('token')", "WF003"),
    "cancel": ("select df.cancel('{waiting}')", "WF003"),
    "signal": ("select df.signal('{waiting}', 'go', '\"forged\"')", "WF003"),
    "await": ("select df.await_instance('{waiting}', 1)", "WF003"),
    "cancel past the function": (
        "insert into df._cancel (instance_id) values ('{waiting}')",
        "WF003",
    ),
    "signal past the function": (
        "insert into df._signal (instance_id, signal_name) values ('{waiting}', 'go')",
        "WF003",
    ),
    "become the victim": ("set role attack_victim", DENIED),
    "become the owner": ("set role postgres", DENIED),
    "become a session of the owner": ("set session authorization postgres", DENIED),
    "make oneself a superuser": ("alter role current_user superuser", DENIED),
    "change the victim's settings": (
        "alter role attack_victim set search_path = attic",
        DENIED,
    ),
    "change everybody's settings": ("alter system set port = 1", DENIED),
    "an event trigger": (
        "create event trigger e on ddl_command_end execute function suppress_redundant_updates_"
        "trigger()",
        DENIED,
    ),
    "switch off triggers": ("set session_replication_role = replica", DENIED),
    "take over the schema": ("alter schema df owner to attack_attacker", DENIED),
    "rename the schema": ("alter schema df rename to attic2", DENIED),
    "plant a function in df": (
        "create function df.start(text) returns text language sql as 'select 1::text'",
        DENIED,
    ),
    "plant an operator in df": (
        "create operator df.= (leftarg = text, rightarg = json, function = texteq)",
        DENIED,
    ),
    "replace a function of df": (
        "create or replace function df._new_id() returns text language sql as 'select 1::text'",
        DENIED,
    ),
    "change a function of df": (
        "alter function df._sees_all(name) set search_path = attic",
        DENIED,
    ),
    "drop a policy": ("drop policy instances_user_isolation on df.instances", DENIED),
    "add a policy": ("create policy p on df.instances using (true)", DENIED),
    "a rule on a door": ("create rule r as on insert to df._start do instead nothing", DENIED),
    "a trigger on a door": (
        "create trigger a instead of insert on df._start for each row"
        " execute function df._stamp_caller()",
        DENIED,
    ),
    "a default on a door": ("alter view df._start alter caller set default 'postgres'", DENIED),
    "an index on a table": ("create index on df.instances (label)", DENIED),
    "a foreign key to a table": (
        "create table r (i df.instance_id references df.instances)",
        DENIED,
    ),
    "inherit from a table": ("create table r () inherits (df.vars)", DENIED),
    "statistics of a table": (
        "create statistics attic.s on label, status from df.instances",
        DENIED,
    ),
    "publish a table": ("create publication p for table df.instances", DENIED),
    "read the server's files": ("select pg_read_file('pg_hba.conf')", DENIED),
    "run a program": ("copy (select 1) to program 'true'", DENIED),
    "reassign": ("reassign owned by attack_victim to attack_attacker", DENIED),
    "end the worker's sessions": (
        "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'postgres'"
        " and application_name like 'pg_durable:worker:%%'",
        DENIED,
    ),
    "set a parameter of the victim's later sessions": (
        "alter database template1 set search_path = attic",
        DENIED,
    ),
    "the superuser setting": (
        "alter role postgres set pg_durable.enable_superuser_instances = on",
        DENIED,
    ),
    "the trigger of a start on a view of one's own": (
        "create view attic.v as select ''::text as fut, ''::text as label, ''::text as database,"
        " ''::text as id, 'attack_victim'::name as caller;"
        "create trigger t instead of insert on attic.v for each row"
        " execute function df._start_instance()",
        DENIED,
    ),
    "the trigger of a deletion on a view of one's own": (
        "create view attic.v as select ''::text as name, 'attack_victim'::name as caller;"
        "create trigger t instead of insert on attic.v for each row"
        " execute function df._unset_variables()",
        DENIED,
    ),
    "the trigger of a secret on a view of one's own": (
        "create view attic.v as select ''::text as name, ''::text as value,"
        " 'attack_victim'::name as caller;"
        "create trigger t instead of insert on attic.v for each row"
        " execute function df._set_secret()",
        DENIED,
    ),
}


@pytest.mark.parametrize("attempt", REFUSED)
async def test_it_is_refused(victim: Victim, attacker: Database, attempt: str) -> None:
    statements, sqlstate = REFUSED[attempt]

    with pytest.raises(psycopg.Error) as refused:
        await attacker.rows(statements.format(waiting=victim.waiting).replace("%%", "%"))

    assert refused.value.sqlstate == sqlstate, str(refused.value)
    await attacker.rows("rollback")
    await victim.is_unharmed()


@pytest.mark.parametrize(
    "look",
    [
        "select count(*) from df.instances",
        "select count(*) from df.nodes",
        "select count(*) from df.vars",
        "select count(*) from df._executions",
        "select count(*) from df._workers",
        "select count(*) from df._buffered_signals",
        "select count(*) from df.list_instances()",
        "select count(*) from df.list_instances('running', 100, 'secret label')",
        "select count(*) from df.list_instances(null, 10, null,"
        " encode('v1|2999-01-01T00:00:00.000000+00|{waiting}', 'hex'))",
        "select count(*) from df.instance_info('{waiting}')",
        "select count(*) from df.instance_nodes('{waiting}')",
        "select count(*) from df.instance_nodes('{waiting}', 5)",
        "select count(*) from df.instance_executions('{waiting}')",
        "select count(*) from df.waiting_for()",
        "select count(*) from df.waiting_for('{waiting}')",
        "select count(df.status('{waiting}'))",
        "select count(df.result('{done}'))",
        "select count(df.getvar('secret'))",
        "select count(*) from df._secret_names",
        "select count(*) from df.list_secrets()",
        "select count(*) from df._seen('{waiting}')",
        "select count(*) from df._depths('{waiting}')",
        "select count(*) from df._page(null, null, null, null, 100)",
        "select count(df._failure(i)) from df.instances i",
        # What the planner knows about the rows, and the sessions of others.
        "select count(*) from pg_stats where schemaname = 'df'",
        "select count(*) from pg_stat_activity where usename <> current_user and query ~ 'select'",
    ],
)
async def test_nothing_of_others_is_seen(victim: Victim, attacker: Database, look: str) -> None:
    await victim.session.rows("select df.signal(%s, 'later')", victim.waiting)
    await victim.db.rows("analyze df.instances, df.nodes, df.vars, df._signals, df._executions")

    seen = await attacker.scalar(look.format(waiting=victim.waiting, done=victim.done))

    assert seen == 0
    await victim.is_unharmed()


async def test_ids_of_others_behave_like_unknown_ones(victim: Victim, attacker: Database) -> None:
    calls = (
        "df.status('{0}')", "df.result('{0}')", "df.cancel('{0}')", "df.signal('{0}', 'go')",
        "df.await_instance('{0}', 1)", "df.explain('{0}')", "df.instance_info('{0}')",
        "df.waiting_for('{0}')", "df.run('{0}')", "df.wait_for_completion('{0}', 1)",
        "df._checkpoint('{0}', 1, array['x'], array[1], array['completed'], array['1'], null,"
        " null, null)",
    )  # fmt: skip

    for call in calls:
        answers = []
        for id_ in (victim.waiting, victim.done, "00000000"):
            try:
                answer = str(await attacker.rows(f"select {call.format(id_)}"))
            except psycopg.Error as error:
                answer = f"{error.sqlstate} {error}"
            answers.append(answer.replace(id_, "<id>"))
        assert len(set(answers)) == 1, answers
    await victim.is_unharmed()


@pytest.mark.parametrize(
    "relation",
    [
        "df.instances",
        "df.nodes",
        "df.vars",
        "df._executions",
        "df._workers",
        "df._buffered_signals",
        "df._secret_names",
    ],
)
async def test_a_leaky_function_is_not_shown_what_row_security_hides(
    victim: Victim, attacker: Database, relation: str
) -> None:
    await victim.session.rows("select df.signal(%s, 'later')", victim.waiting)
    await attacker.rows("create table attic.leaked (what text)")
    await attacker.rows(
        "create function attic.leak(text) returns boolean language plpgsql cost 0.0000001 as"
        " $$ begin raise notice '%', $1; insert into attic.leaked values ($1); return true; end $$"
    )

    await attacker.rows(f"select * from {relation} r where attic.leak(r::text)")
    await attacker.rows(f"select count(*) filter (where attic.leak(r::text)) from {relation} r")

    assert await attacker.rows("select what from attic.leaked") == []
    await victim.is_unharmed()


async def test_a_view_of_ones_own_on_a_door_forges_no_caller(
    victim: Victim, attacker: Database
) -> None:
    for door, columns in (
        ("_start", "fut, label"), ("_cancel", "instance_id"),
        ("_signal", "instance_id, signal_name"), ("_unset", "name"), ("_secret", "name, value"),
    ):  # fmt: skip
        await attacker.rows(f"create view attic.v as select {columns}, caller from df.{door}")
        await attacker.rows("alter view attic.v alter column caller set default 'attack_victim'")
        values = {
            "_start": "'select current_user::text as who', 'forged'",
            "_cancel": f"'{victim.waiting}'",
            "_signal": f"'{victim.waiting}', 'go'",
            "_unset": "'secret'",
            "_secret": "'token', 'forged'",
        }[door]
        try:
            await attacker.rows(f"insert into attic.v ({columns}) values ({values})")
        except psycopg.Error as error:
            assert error.sqlstate == "WF003"  # noqa: PT017
        await attacker.rows("drop view attic.v")

    forged = await attacker.scalar("select id from df.instances where label = 'forged'")
    assert await attacker.completed_rows(forged) == [{"who": "attack_attacker"}]
    await victim.is_unharmed()


async def test_merge_into_a_door_forges_no_caller(victim: Victim, attacker: Database) -> None:
    if victim.db.session.info.server_version < 170000:
        pytest.skip("a view with triggers is no target of MERGE before PostgreSQL 17")

    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        await attacker.rows(
            "merge into df._start using (values (1)) v (i) on false"
            " when not matched then insert (fut, caller) values ('select 1', 'attack_victim')"
        )

    await victim.is_unharmed()


async def test_listening_to_the_workers_channel_tells_ids_and_nothing_else(
    victim: Victim, attacker: Database
) -> None:
    await attacker.rows("listen pg_durable")

    await victim.is_unharmed()
    await victim.session.rows("select df.cancel(%s, 'my reason')", victim.waiting)

    heard = {notice.payload async for notice in attacker.session.notifies(timeout=0.2)}
    # Who has started something, which the sender's process tells as well: each notification has it.
    role = await victim.db.scalar("select %s::regrole::oid::text", VICTIM)
    assert heard <= {"", f"start {role}", f"signal {victim.waiting}"}


async def test_variables_are_per_role(victim: Victim, attacker: Database) -> None:
    await attacker.rows("select df.setvar('secret', 'mine')")
    await attacker.rows("select df.unsetvar('secret'), df.clearvars()")

    assert await attacker.scalar("select df.getvar('secret')") is None
    await victim.is_unharmed()


async def test_secrets_are_per_role(victim: Victim, attacker: Database) -> None:
    await attacker.rows("select df.set_secret('token', 'mine')")
    await attacker.rows("select df.drop_secret('token')")

    assert await attacker.rows("select * from df.list_secrets()") == []
    await victim.is_unharmed()


async def test_operators_and_functions_planted_on_the_path_are_not_run_for_others(
    victim: Victim, attacker: Database
) -> None:
    name = await victim.db.scalar("select current_database()")
    await attacker.rows("create table attic.captured (who text)")
    await attacker.rows("grant insert on attic.captured to public")
    for schema in ("public", "attic"):
        for left, right in (("oid", "oid"), ("regrole", "regrole"), ("text", "text"),
                            ("df.instance_id", "text"), ("df.instance_status", "text"),
                            ("name", "name"), ("timestamptz", "timestamptz")):  # fmt: skip
            await attacker.rows(
                f"create function {schema}.same({left}, {right}) returns boolean language plpgsql"
                " as $$ begin insert into attic.captured values (current_user); return true; end $$"
            )
            await attacker.rows(
                f"create operator {schema}.= (leftarg = {left}, rightarg = {right},"
                f" function = {schema}.same)"
            )
        for function in (
            "now()",
            "clock_timestamp()",
            "quote_ident(text)",
            "pg_notify(text, text)",
        ):
            await attacker.rows(
                f"create function {schema}.{function} returns text language plpgsql"
                " as $$ begin insert into attic.captured values (current_user); return '1'; end $$"
            )
        await attacker.rows(f"create domain {schema}.regrole as text")
        await attacker.rows(f"create type {schema}.json as (i int)")
    # The worst an administrator could do: everybody looks there first.
    await victim.db.rows(f"alter database {name} set search_path = attic, public, pg_catalog")

    lured = await victim.db.connect_as("attack_victim")
    started = await lured.start("'select 1 as v'")
    assert await lured.wait(started) == "completed"
    other = await lured.start("df.wait_for_signal('go')")
    await lured.rows("select df.signal(%s, 'x'), df.setvar('a', 'b'), df.unsetvar('a')", other)
    await lured.rows("select df.cancel(%s), df.explain(%s)", other, started)
    await lured.rows("select * from df.list_instances(), df.waiting_for()")
    await lured.close()
    admin = await Database.connect(victim.db.conninfo)
    await admin.rows("select * from df.list_instances(), df.waiting_for(), df.metrics()")
    await admin.rows("select df.explain(%s), df.result(%s), df.status(%s)", *[started] * 3)
    await admin.rows("select df.revoke_usage('attack_attacker')")
    await admin.rows("select df.grant_usage('attack_attacker')")
    await admin.close()

    assert await attacker.rows("select * from attic.captured") == []
    await victim.db.rows(f"alter database {name} reset search_path")
    assert await victim.session.status(victim.waiting) == "running"


async def test_temporary_objects_are_not_used_by_the_owners_functions(
    victim: Victim, attacker: Database
) -> None:
    await attacker.rows("create temp table captured (who text)")
    for name in ("pg_roles", "pg_class", "pg_database", "instances", "vars"):
        await attacker.rows(f"create temp table {name} (oid oid, rolname name, rolbypassrls bool)")
        await attacker.rows(f"insert into pg_temp.{name} values (1, 'attack_attacker', true)")
    await attacker.rows(
        "create function pg_temp.quote_ident(name) returns text language plpgsql as"
        " $$ begin insert into captured values (current_user); return 'attack_victim'; end $$"
    )
    await attacker.rows("set search_path = pg_temp, pg_catalog, df, public")

    with pytest.raises(psycopg.Error, match="access denied"):
        await attacker.rows("select df.cancel(%s)", victim.waiting)
    mine = await attacker.start("'select current_user::text as who'")

    await attacker.rows("reset search_path")
    assert await attacker.completed_rows(mine) == [{"who": "attack_attacker"}]
    assert await attacker.rows("select * from pg_temp.captured") == []
    await victim.is_unharmed()


async def test_settings_of_the_caller_do_not_change_what_the_owners_functions_do(
    victim: Victim, attacker: Database
) -> None:
    for setting, value in (
        ("standard_conforming_strings", "off"), ("backslash_quote", "on"),
        ("transform_null_equals", "on"), ("row_security", "off"), ("array_nulls", "off"),
        ("DateStyle", "German"), ("IntervalStyle", "iso_8601"), ("TimeZone", "Asia/Kathmandu"),
        ("extra_float_digits", "-15"), ("bytea_output", "escape"), ("xmloption", "document"),
        ("plpgsql.extra_warnings", "all"), ("quote_all_identifiers", "on"),
        ("default_transaction_isolation", "serializable"), ("df.in_workflow", "false"),
        ("pg_durable.enable_superuser_instances", "on"),
    ):  # fmt: skip
        await attacker.rows("select set_config(%s, %s, false)", setting, value)

    with pytest.raises(psycopg.Error, match="access denied"):
        await attacker.rows("select df.cancel(%s)", victim.waiting)
    with pytest.raises(psycopg.Error, match="access denied"):
        await attacker.rows("select df.signal(%s, 'go')", victim.waiting)
    mine = await attacker.start("df.sleep('1.5 s'::interval) ~> 'select 1 as v'")

    await attacker.rows("reset all")
    assert await attacker.completed_rows(mine) == [{"v": 1}]
    await victim.is_unharmed()


async def test_a_role_whose_row_security_is_off_sees_an_error_and_no_rows(
    victim: Victim, attacker: Database
) -> None:
    await attacker.rows("set row_security = off")

    for table in ("df.instances", "df.nodes", "df.vars"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
            await attacker.rows(f"select * from {table}")

    await victim.is_unharmed()


async def test_a_dump_made_by_a_user_holds_nothing_of_others(
    victim: Victim, attacker: Database, psql: Path
) -> None:
    await attacker.wait(await attacker.start("'select ''mine'' as word'"))

    def dump(*options: str) -> subprocess.CompletedProcess[bytes]:
        tables = ("-t", "df.instances", "-t", "df.nodes", "-t", "df.vars")
        return subprocess.run(
            [psql.with_name("pg_dump"), "-d", attacker.conninfo, "--data-only", *tables, *options],
            capture_output=True,
            check=False,
        )

    whole = await asyncio.to_thread(dump)
    own = (await asyncio.to_thread(dump, "--enable-row-security")).stdout

    assert whole.returncode != 0
    assert b"mine" in own
    for hidden in (b"squirrel", b"hidden", b"secret label", victim.waiting.encode()):
        assert hidden not in whole.stdout + own
    await victim.is_unharmed()


async def test_ids_with_sql_in_them_are_ids(victim: Victim, attacker: Database) -> None:
    crafted = "' or true; drop table ledger; --"

    for call in ("df.cancel(%s)", "df.signal(%s, 'go')"):
        with pytest.raises(psycopg.Error, match="not found or access denied"):
            await attacker.rows(f"select {call}", crafted)
    for call in ("df.status(%s)", "df.result(%s)"):
        assert await attacker.scalar(f"select {call}", crafted) is None
    for parameter in ("status_filter => %s", "'x', 10, %s"):
        assert await attacker.rows(f"select df.list_instances({parameter})", crafted) == []

    await victim.is_unharmed()
