"""pg-durable install where df belongs to the extension."""

from pathlib import Path

import pytest

from pg_durable import __version__, scripts
from pg_durable.errors import SchemaMismatch
from pg_durable.schema import Installed, install
from support.database import Database
from support.extension import add_version

FIRST = scripts.extension_scripts("0.0.1", stateful=scripts.migrations()[:1], stateless=[])


async def test_it_changes_nothing_when_the_extension_is_of_this_version(fresh: Database) -> None:
    await fresh.rows("create extension pg_durable")
    functions = "select oid, xmin from pg_proc where pronamespace = 'df'::regnamespace order by 1"
    before = await fresh.rows(functions)

    done = install(fresh.conninfo)

    assert done == Installed(before=__version__, after=__version__)
    assert await fresh.rows(functions) == before


async def test_it_updates_an_older_extension(fresh: Database) -> None:
    add_version(fresh.conninfo, "0.0.1", FIRST)
    await fresh.rows("create extension pg_durable version '0.0.1'")

    done = install(fresh.conninfo)

    assert done == Installed(before="0.0.1", after=__version__)
    assert await fresh.scalar("select extversion from pg_extension where extname ~ 'durable'") == (
        __version__
    )
    assert await fresh.scalar("select migration from df._schema") == scripts.migrations()[-1][0]


async def test_it_says_what_to_do_when_the_server_has_no_files_of_this_version(
    fresh: Database, tmp_path: Path
) -> None:
    old = scripts.extension_scripts("0.0.2", stateful=scripts.migrations()[:1], stateless=[])
    share = Path(await fresh.scalar("select setting from pg_config where name = 'SHAREDIR'"))
    (share / "extension" / "pg_durable--0.0.2.sql").write_text(old["pg_durable--0.0.2.sql"])
    await fresh.rows("create extension pg_durable version '0.0.2'")

    with pytest.raises(SchemaMismatch, match=r"pg-durable extension install"):
        install(fresh.conninfo)

    assert await fresh.scalar("select migration from df._schema") == 1


async def test_it_makes_a_version_of_what_the_extension_has_adopted(fresh: Database) -> None:
    install(fresh.conninfo)
    await fresh.rows("create extension pg_durable version 'unpackaged'")

    done = install(fresh.conninfo)

    assert done == Installed(before=__version__, after=__version__)
    assert await fresh.scalar("select extversion from pg_extension where extname ~ 'durable'") == (
        __version__
    )
