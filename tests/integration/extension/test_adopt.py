"""What pg-durable install made becomes the extension's."""

import psycopg
import pytest

from pg_durable import scripts
from pg_durable.embedded import EmbeddedServer
from pg_durable.schema import install
from support.database import Database
from support.extension import empty_database
from support.flights import land, take_off

MEMBERS = """
    select pg_describe_object(d.classid, d.objid, 0)
    from pg_depend d
    join pg_extension e on e.oid = d.refobjid
    where d.refclassid = 'pg_extension'::regclass and d.deptype = 'e'
      and e.extname = 'pg_durable'
    order by 1
"""
# Roles to whom PostgreSQL believes the extension itself to have granted something.
GRANTED_BY_SCRIPTS = """
    select distinct pg_describe_object(i.classoid, i.objoid, i.objsubid), a.grantee::regrole::text
    from pg_init_privs i
    cross join lateral aclexplode(i.initprivs) a
    where i.privtype = 'e' and a.grantee <> 0
      and a.grantee <> (select nspowner from pg_namespace where nspname = 'df')
"""


async def _members_of_a_new_one(server: EmbeddedServer) -> list[tuple[object, ...]]:
    with empty_database(server) as dsn:
        session = await Database.connect(dsn)
        await session.rows("create extension pg_durable")
        members = await session.rows(MEMBERS)
        await session.close()
        return members


async def test_everything_is_adopted_and_workflows_go_on(
    roles: list[str], extension_server: EmbeddedServer, fresh: Database
) -> None:
    name, admin = roles
    install(fresh.conninfo)
    await fresh.rows(f"select df.grant_usage('{name}'); grant create on schema public to {name}")
    await fresh.rows(f"select df.grant_usage('{admin}', with_grant => true)")
    role = await fresh.connect_as(name)
    ids = await take_off(fresh, role)

    await fresh.rows("create extension pg_durable version 'unpackaged'")
    await role.start_sql("select 1")  # it is of use at once
    await fresh.rows("alter extension pg_durable update")

    assert await fresh.rows(MEMBERS) == await _members_of_a_new_one(extension_server)
    assert await fresh.rows(GRANTED_BY_SCRIPTS) == []
    await land(fresh, role, ids)
    delegate = await fresh.connect_as(admin)
    await delegate.rows(f"select df.grant_usage('{name}')")
    await delegate.close()
    await role.close()
    await fresh.rows("drop extension pg_durable")


async def test_an_older_schema_is_to_be_brought_up_to_date_first(fresh: Database) -> None:
    await fresh.rows(scripts.migrations()[0][1])
    await fresh.rows("insert into df._schema (migration, version) values (1, '0.1.0')")

    with pytest.raises(psycopg.Error, match=r"the schema df is of version 0.1.0") as raised:
        await fresh.rows("create extension pg_durable version 'unpackaged'")

    assert raised.value.sqlstate == "WF006"
    assert "pg-durable install" in (raised.value.diag.message_hint or "")
    install(fresh.conninfo)
    await fresh.rows("create extension pg_durable version 'unpackaged'")


@pytest.mark.parametrize("there_is", ["no schema df", "another schema df"])
async def test_nothing_else_is_adopted(fresh: Database, there_is: str) -> None:
    if there_is == "another schema df":
        await fresh.rows("create schema df")

    with pytest.raises(psycopg.Error, match="no schema df that pg-durable install made") as raised:
        await fresh.rows("create extension pg_durable version 'unpackaged'")

    assert raised.value.sqlstate == "WF006"
