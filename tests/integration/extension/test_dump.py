"""pg_dump and restore of a database with workflows in flight."""

import subprocess
from pathlib import Path

import psycopg
import pytest

from pg_durable.embedded import EmbeddedServer
from pg_durable.schema import install
from support.database import Database
from support.extension import empty_database
from support.flights import land, take_off


def dump_and_restore(psql: Path, source: str, target: str, form: str) -> None:
    """With psql, or with pg_restore."""
    dump = subprocess.run(
        [psql.with_name("pg_dump"), f"--format={form}", "-d", source],
        capture_output=True, check=True,
    )  # fmt: skip
    restore: list[str | Path] = (
        [psql, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", target]
        if form == "plain"
        else [psql.with_name("pg_restore"), "--exit-on-error", "-d", target]
    )
    ran = subprocess.run(restore, input=dump.stdout, capture_output=True, check=False)
    assert ran.returncode == 0, ran.stderr.decode()


@pytest.mark.parametrize("form", ["plain", "custom"])
@pytest.mark.parametrize("way", ["extension", "install", "adopted"])
async def test_workflows_go_on_in_the_restored_database(
    roles: list[str],
    extension_server: EmbeddedServer,
    fresh: Database,
    psql: Path,
    way: str,
    form: str,
) -> None:
    name = roles[0]
    if way == "extension":
        await fresh.rows("create extension pg_durable")
    else:
        install(fresh.conninfo)
    await fresh.rows(f"select df.grant_usage('{name}'); grant create on schema public to {name}")
    role = await fresh.connect_as(name)
    ids = await take_off(fresh, role)
    if way == "adopted":
        await fresh.rows("create extension pg_durable version 'unpackaged'")
        await fresh.rows("alter extension pg_durable update")

    with empty_database(extension_server) as target:
        dump_and_restore(psql, fresh.conninfo, target, form)
        if way == "install":
            install(target)

        restored = await Database.connect(target)
        restored_role = await restored.connect_as(name)
        await land(restored, restored_role, ids)
        assert await restored_role.start("'select 1' ~> 'select 2'")

        await restored_role.close()
        await restored.close()
    await role.close()


@pytest.mark.parametrize("way", ["extension", "install"])
async def test_secrets_go_along_and_stay_hidden(
    roles: list[str],
    extension_server: EmbeddedServer,
    fresh: Database,
    psql: Path,
    way: str,
) -> None:
    owner, other = roles
    if way == "extension":
        await fresh.rows("create extension pg_durable")
    else:
        install(fresh.conninfo)
    await fresh.rows(f"select df.grant_usage('{owner}'), df.grant_usage('{other}')")
    before = await fresh.connect_as(owner)
    await before.rows("select df.set_secret('token', 'tok-4711')")
    reference = await before.scalar("select df.secret('token')")

    with empty_database(extension_server) as target:
        dump_and_restore(psql, fresh.conninfo, target, "plain")
        restored = await Database.connect(target)
        after, stranger = await restored.connect_as(owner), await restored.connect_as(other)

        assert await restored.rows("select owner::text, value from df._secrets") == [
            (owner, "tok-4711")
        ]
        assert await after.scalar("select df.secret('token')") == reference
        assert await stranger.rows("select * from df.list_secrets()") == []
        assert await restored.scalar(
            "select relrowsecurity from pg_class where oid = 'df._secrets'::regclass"
        )
        for role in (after, stranger):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                await role.rows("select * from df._secrets")
            await role.close()
        await restored.close()
    await before.close()


async def test_rights_given_before_and_after_an_update_are_in_the_dump(
    roles: list[str], extension_server: EmbeddedServer, fresh: Database, psql: Path
) -> None:
    admin, user = roles
    install(fresh.conninfo)
    await fresh.rows(f"select df.grant_usage('{admin}', with_grant => true)")
    await fresh.rows("revoke select on df._executions from public")
    await fresh.rows("create extension pg_durable version 'unpackaged'")
    delegate = await fresh.connect_as(admin)
    await delegate.rows(f"select df.grant_usage('{user}')")
    await fresh.rows("alter extension pg_durable update")
    rights = """
        select object, grantee, privilege_type, is_grantable
        from (
          select c.oid::regclass::text, a.*
          from pg_class c cross join lateral aclexplode(c.relacl) a
          where c.relnamespace = 'df'::regnamespace
          union all
          select c.oid::regclass || '.' || t.attname, a.*
          from pg_class c join pg_attribute t on t.attrelid = c.oid
          cross join lateral aclexplode(t.attacl) a
          where c.relnamespace = 'df'::regnamespace
          union all
          select p.oid::regprocedure::text, a.*
          from pg_proc p cross join lateral aclexplode(p.proacl) a
          where p.pronamespace = 'df'::regnamespace
          union all
          select 'schema', a.* from pg_namespace n cross join lateral aclexplode(n.nspacl) a
          where n.nspname = 'df'
        ) x (object)
        where grantee::regrole::text like 'role%'
        order by 1, 2, 3
    """
    before = await fresh.rows(rights)

    with empty_database(extension_server) as target:
        dump_and_restore(psql, fresh.conninfo, target, "plain")

        restored = await Database.connect(target)
        assert await restored.rows(rights) == before
        assert len(before) > 20
        await restored.close()
    await delegate.close()
