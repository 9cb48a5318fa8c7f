"""create extension and drop extension."""

import psycopg
import pytest

from pg_durable import __version__
from pg_durable.embedded import EmbeddedServer
from pg_durable.schema import install
from support.database import Database
from support.extension import empty_database
from support.workers import worker_here

LEFT_OF_DF = """
    select count(*)
    from (select oid from pg_namespace where nspname = 'df'
          union all select o.oid from pg_operator o where o.oprname in ('~>', '|=>', '!>')
          union all select d.objid from pg_depend d left join pg_extension e on e.oid = d.refobjid
          where d.deptype = 'e' and e.oid is null) x
"""


async def test_what_the_extension_creates_runs_workflows(fresh: Database) -> None:
    await fresh.rows("create extension pg_durable")

    async with worker_here(fresh.conninfo):
        instance = await fresh.start("'select 1 as one' |=> 'n' ~> 'select $n + 1 as two'")
        assert await fresh.completed_rows(instance) == [{"two": 2}]
    assert await fresh.row("select version, df.version() from df._schema") == (
        __version__,
        await fresh.scalar("select df.version()"),
    )


async def test_dropping_the_extension_leaves_nothing_and_it_can_be_created_again(
    fresh: Database,
) -> None:
    await fresh.rows("create extension pg_durable")
    async with worker_here(fresh.conninfo):
        await fresh.completed_rows(await fresh.start_sql("select 1"))

    await fresh.rows("drop extension pg_durable")

    assert await fresh.scalar(LEFT_OF_DF) == 0
    await fresh.rows("create extension pg_durable")
    assert await fresh.rows("select * from df.instances") == []


async def test_every_object_of_df_is_the_extensions(fresh: Database) -> None:
    await fresh.rows("create extension pg_durable")

    assert (
        await fresh.rows(
            "select pg_describe_object(o.classid, o.objid, 0) from ("
            " select 'pg_proc'::regclass, oid from pg_proc where pronamespace = 'df'::regnamespace"
            " union all select 'pg_class'::regclass, oid from pg_class"
            " where relnamespace = 'df'::regnamespace and relkind <> 'i'"
            " union all select 'pg_operator'::regclass, o.oid from pg_operator o"
            " join pg_proc p on p.oid = oprcode where p.pronamespace = 'df'::regnamespace"
            ") o (classid, objid)"
            " where not exists (select from pg_depend d"
            " where (d.classid, d.objid) = (o.classid, o.objid) and d.deptype = 'e')"
        )
        == []
    )


async def test_a_schema_df_that_is_there_already_is_refused_with_the_way_to_adopt_it(
    fresh: Database,
) -> None:
    install(fresh.conninfo)

    with pytest.raises(psycopg.Error, match="the schema df exists already") as raised:
        await fresh.rows("create extension pg_durable")

    assert raised.value.sqlstate == "WF006"
    assert "version 'unpackaged'" in (raised.value.diag.message_hint or "")


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
async def test_a_database_that_is_not_in_utf8_is_refused(
    extension_server: EmbeddedServer, encoding: str
) -> None:
    with empty_database(extension_server, encoding=encoding, lc_ctype="C", lc_collate="C") as dsn:
        session = await Database.connect(dsn)

        with pytest.raises(psycopg.Error, match=f"encoding is {encoding}") as raised:
            await session.rows("create extension pg_durable")

        assert raised.value.sqlstate == "WF006"
        await session.close()


async def test_what_others_have_put_into_a_schema_df_is_not_adopted(fresh: Database) -> None:
    install(fresh.conninfo)
    await fresh.rows("create role planter")
    await fresh.rows("grant create, usage on schema df to planter")
    await fresh.rows("set role planter")
    await fresh.rows("create function df.planted() returns int return 1")
    await fresh.rows("reset role")

    with pytest.raises(psycopg.Error, match="belongs to role planter") as raised:
        await fresh.rows("create extension pg_durable version 'unpackaged'")

    assert raised.value.sqlstate == "WF004"
    await fresh.rows("drop owned by planter; drop role planter")
