"""Where the installer is no superuser but the database's owner."""

from collections.abc import AsyncIterator

import pytest
from psycopg.conninfo import make_conninfo

from pg_durable import scripts
from pg_durable.embedded import EmbeddedServer
from pg_durable.schema import install
from support.database import Database
from support.extension import add_version, empty_database
from support.flights import land, take_off

# Of this version's functions, with an older number: what a running system upgrades from.
LAST = scripts.extension_scripts("0.0.9")


@pytest.fixture
async def owner(roles: list[str], extension_server: EmbeddedServer) -> AsyncIterator[Database]:
    """The session of a database's owner, who is no superuser and has nothing but that."""
    with empty_database(extension_server, owner=roles[0]) as dsn:
        session = await Database.connect(make_conninfo(dsn, user=roles[0]))
        assert await session.scalar("select current_setting('is_superuser')") == "off"
        yield session
        await session.close()


@pytest.mark.parametrize("way", ["extension", "install"])
async def test_the_owner_installs_upgrades_and_drops(
    roles: list[str], extension_server: EmbeddedServer, owner: Database, way: str
) -> None:
    add_version(extension_server.dsn(), "0.0.9", LAST)
    if way == "extension":
        await owner.rows("create extension pg_durable version '0.0.9'")
    else:
        install(owner.conninfo)
    await owner.rows(f"select df.grant_usage('{roles[1]}')")
    await owner.rows(f"create schema app; grant all on schema app to {roles[1]}")
    role = await owner.connect_as(roles[1])
    await role.rows(f"alter role {roles[1]} set search_path = app, public")
    await role.rows("set search_path = app, public")
    await owner.rows("set search_path = app, public")
    ids = await take_off(owner, role)
    await role.rows("grant select on effects to public")

    if way == "extension":
        await owner.rows("alter extension pg_durable update")
    else:
        install(owner.conninfo)

    await land(owner, role, ids)
    await role.close()
    await owner.rows(
        f"drop {'extension pg_durable' if way == 'extension' else 'schema df cascade'}"
    )
    assert await owner.rows("select oprname from pg_operator where oprname in ('~>', '!>')") == []


async def test_the_owner_lets_the_extension_adopt(owner: Database) -> None:
    install(owner.conninfo)

    await owner.rows("create extension pg_durable version 'unpackaged'")
    await owner.rows("alter extension pg_durable update")

    await owner.rows("drop extension pg_durable")
    assert await owner.scalar("select to_regnamespace('df')") is None


async def test_a_superuser_does_not_mix_their_objects_with_the_owners(owner: Database) -> None:
    admin = await owner.connect_as("postgres")
    add_version(admin.conninfo, "0.0.9", LAST)
    await owner.rows("create extension pg_durable version '0.0.9'")

    with pytest.raises(Exception, match="belongs to role"):
        await admin.rows("alter extension pg_durable update")

    await admin.close()
