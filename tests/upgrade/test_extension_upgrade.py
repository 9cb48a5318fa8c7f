"""`alter extension pg_durable update` while workflows wait, and while a worker is at work."""

import psycopg
import pytest

from pg_durable import __version__, scripts
from pg_durable.embedded import EmbeddedServer
from support.database import Database
from support.extension import add_version
from support.flights import land, take_off
from support.waiting import until
from support.workers import worker_here
from upgrade.test_upgrade import INSTANCES, NODES

FIRST = scripts.extension_scripts("0.1.0", stateful=scripts.migrations()[:1], stateless=[])
LAST = scripts.extension_scripts("0.3.9")


async def test_workflows_of_the_first_version_go_on_after_an_update(fresh: Database) -> None:
    add_version(fresh.conninfo, "0.1.0", FIRST)
    await fresh.rows("create extension pg_durable version '0.1.0'")
    await fresh.rows(INSTANCES)
    await fresh.rows(NODES)
    await fresh.rows("insert into df._worker_epoch (name) values ('dead')")  # worker 1
    await fresh.rows("create table effects (what text)")

    await fresh.rows("alter extension pg_durable update")

    async with worker_here(fresh.conninfo):
        await fresh.wait_all()
    assert await fresh.scalar("select version from df._schema") == __version__
    assert await fresh.rows("select what from effects order by what") == [
        ("a",),
        ("after",),
        ("kepta",),
        ("taken over",),
    ]


async def test_workflows_in_all_states_go_on_after_an_update(fresh: Database) -> None:
    add_version(fresh.conninfo, "0.3.9", LAST)
    await fresh.rows("create extension pg_durable version '0.3.9'")
    await fresh.rows("create role in_flight login; select df.grant_usage('in_flight')")
    await fresh.rows("grant create on schema public to in_flight")
    role = await fresh.connect_as("in_flight")

    try:
        ids = await take_off(fresh, role)
        await fresh.rows("alter extension pg_durable update")
        await land(fresh, role, ids)
    finally:
        await role.close()
        await fresh.rows("drop owned by in_flight; drop role in_flight")


async def test_a_worker_at_work_goes_on_through_an_update(fresh: Database) -> None:
    add_version(fresh.conninfo, "0.3.9", LAST)
    await fresh.rows("create extension pg_durable version '0.3.9'")
    await fresh.rows("create table ticks (n int)")

    async with worker_here(fresh.conninfo):
        loop = await fresh.start(
            "df.loop('insert into ticks values (1)' ~> df.sleep(interval '1 ms'),"
            " 'select count(*) < 200 from ticks')"
        )
        await until(lambda: fresh.rows("select n from ticks offset 5"))
        await fresh.rows("alter extension pg_durable update")
        assert await fresh.wait(loop) == "completed", await fresh.output(loop)

    assert await fresh.scalar("select count(*) from ticks") == 200


async def test_an_update_that_fails_leaves_the_older_version_whole(
    extension_server: EmbeddedServer, fresh: Database
) -> None:
    add_version(fresh.conninfo, "0.1.0", FIRST)
    await fresh.rows("create extension pg_durable version '0.1.0'")
    await fresh.rows("create view looks as select stopped from df.nodes")  # in a migration's way

    with pytest.raises(psycopg.errors.DependentObjectsStillExist):
        await fresh.rows("alter extension pg_durable update")

    assert await fresh.row("select extversion, migration from pg_extension, df._schema"
                           " where extname = 'pg_durable'") == ("0.1.0", 1)  # fmt: skip


async def test_rights_of_roles_are_not_taken_for_the_extensions_own_by_an_update(
    fresh: Database,
) -> None:
    add_version(fresh.conninfo, "0.3.9", LAST)
    await fresh.rows("create extension pg_durable version '0.3.9'")
    await fresh.rows("create role granted login")
    await fresh.rows("select df.grant_usage('granted', with_grant => true)")
    await fresh.rows("grant execute on all functions in schema df to granted with grant option")
    await fresh.rows("grant select on all tables in schema df to granted with grant option")

    await fresh.rows("alter extension pg_durable update")

    # pg_dump would leave those out.
    own = await fresh.rows(
        "select pg_describe_object(i.classoid, i.objoid, i.objsubid)"
        " from pg_init_privs i cross join lateral aclexplode(i.initprivs) a"
        " where i.privtype = 'e' and a.grantee = 'granted'::regrole"
    )
    await fresh.rows("drop owned by granted; drop role granted")
    assert own == []
