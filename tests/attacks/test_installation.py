"""Attempts by those who were there before df, and by owners of the database."""

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from attacks.conftest import ATTACKER, Victim
from pg_durable.embedded import EmbeddedServer
from pg_durable.errors import NotAllowed
from pg_durable.schema import install
from support.database import Database

PLANTED = [
    "create schema df authorization {attacker}",
    "create schema df; grant create on schema df to {attacker}; set role {attacker};"
    " create table df._schema (sentinel bool, migration int, version text); reset role",
    "create schema df; grant create on schema df to {attacker}; set role {attacker};"
    " create function df._new_id() returns text language sql as $$ select 'x' $$; reset role",
    "create schema df; grant create on schema df to {attacker}; set role {attacker};"
    " create view df._start as select 1 as fut; reset role",
]


@pytest.mark.parametrize("planted", PLANTED)
async def test_nothing_is_installed_onto_what_somebody_has_planted(
    server: EmbeddedServer, attacker: Database, planted: str
) -> None:
    admin = await Database.connect(server.dsn())
    await admin.rows("create database planted")
    try:
        new = await Database.connect(server.dsn("planted"))
        await new.rows(planted.format(attacker=ATTACKER))

        with pytest.raises(NotAllowed, match=f"belongs to role {ATTACKER}"):
            install(new.conninfo)

        assert await new.scalar("select to_regclass('df.instances')") is None
        await new.close()
    finally:
        await admin.rows("drop database planted with (force)")
        await admin.close()


async def test_default_privileges_give_away_nothing_of_df(
    server: EmbeddedServer, attacker: Database
) -> None:
    admin = await Database.connect(server.dsn())
    await admin.rows("create database generous")
    try:
        new = await Database.connect(server.dsn("generous"))
        for kind in ("tables", "functions", "sequences"):
            await new.rows(f"alter default privileges grant all on {kind} to {ATTACKER}")

        install(new.conninfo)

        install(new.conninfo)
        await new.rows(f"select df.grant_usage('{ATTACKER}')")
        thief = await Database.connect(make_conninfo(new.conninfo, user=ATTACKER))
        for attempt in (
            "select * from df._signals",
            "select * from df._worker_epoch",
            "update df.instances set status = 'completed'",
            "insert into df.nodes (id, instance_id, node_type, submitted_by)"
            f" values ('0000abcd', '0000abcd', 'SQL', '{ATTACKER}')",
            "select df._claim(1, 1)",
            "begin; lock table df._start in exclusive mode",
            "create view public.v as select ''::text as fut, ''::text as label, ''::text as id,"
            " ''::text as database, 'postgres'::name as caller; create trigger t instead of insert"
            " on public.v for each row execute function df._start_instance()",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                await thief.rows(attempt)
            await thief.rows("rollback")
        await thief.close()
        await new.close()
    finally:
        await admin.rows("drop database generous with (force)")
        await admin.close()


async def test_the_owner_of_the_database_and_of_public_owns_nothing_of_df(
    victim: Victim, attacker: Database
) -> None:
    name = await victim.db.scalar("select current_database()")
    await victim.db.rows(f"alter database {name} owner to {ATTACKER}")
    await victim.db.rows(f"alter schema public owner to {ATTACKER}")

    for attempt in (
        "drop schema df cascade",
        "alter schema df rename to mine",
        "create function df.mine() returns int language sql as 'select 1'",
        "select * from df._signals",
        "update df.instances set status = 'completed'",
        "alter table df.instances disable row level security",
        "drop table df.vars",
        "select df.metrics()",
        "alter database {name} set session_replication_role = replica",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await attacker.rows(attempt.format(name=name))
    assert await attacker.scalar("select count(*) from df.instances") == 0
    # What it may do is no way in: the settings of a database bind no session of the worker's.
    for setting in (
        "search_path = attic, public", "default_transaction_read_only = on",
        "default_transaction_isolation = serializable", "statement_timeout = 1",
        "idle_session_timeout = 100", "DateStyle = German", "IntervalStyle = iso_8601",
        "array_nulls = off", "extra_float_digits = -15", "bytea_output = escape",
        "TimeZone = 'Asia/Kathmandu'", "standard_conforming_strings = off",
    ):  # fmt: skip
        await attacker.rows(f"alter database {name} set {setting}")
    await victim.db.rows(
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where application_name like 'pg_durable:worker:%'"
    )
    await victim.db.rows(f"alter role attack_victim in database {name} set statement_timeout = 0")
    await victim.db.rows(
        f"alter role attack_victim in database {name} set search_path = '$user', public"
    )
    await victim.db.rows(
        f"alter role attack_victim in database {name} set default_transaction_read_only = off"
    )

    await victim.is_unharmed(same_worker=False)
    await victim.db.rows(f"alter database {name} owner to postgres")
    await victim.db.rows("alter schema public owner to postgres")
