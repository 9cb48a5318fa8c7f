"""Who may do what: grants and what is left after taking them back, roles of every kind and name."""

from collections.abc import AsyncIterator

import psycopg
import pytest
from psycopg import sql

from pg_durable.engine.worker import Worker
from support.database import Database
from support.waiting import until
from support.workers import worker_here

# Definer functions that anybody with the schema may call: what keeps each from doing harm.
CHECKED = {
    "_checkpoint": "touches only instances of the role that logged in",
    "_checkpoint_alike": "likewise",
    "version": "tells the version",
}
# PostgreSQL lets nobody be called "none" or "public".
ODD_NAMES = [
    "with space", 'quo"te', "apo'strophe", "Upper", "Public", "üñí 😀", "x" * 63, "é" * 31, "-",
    "123", "a.b", "back\\slash", "semi;colon", "tab\tand\nline", "select", "%s", "{name}", "$x",
    " ", "host=evil user=postgres",
]  # fmt: skip


async def test_every_function_with_the_owners_rights_is_pinned_and_closed_or_checks_its_caller(
    db: Database,
) -> None:
    definers = await db.rows(
        "select p.proname, coalesce(array_to_string(p.proconfig, ';'), ''),"
        " has_function_privilege('public', p.oid, 'execute')"
        " from pg_proc p where p.pronamespace = 'df'::regnamespace and p.prosecdef"
    )

    assert {name for name, _, public in definers if public} == set(CHECKED)
    assert [
        name for name, pinned, _ in definers if "search_path=pg_catalog, pg_temp" not in pinned
    ] == []


async def test_every_function_looks_names_up_where_no_user_can_plant_one(db: Database) -> None:
    loose = await db.rows(
        "select p.proname from pg_proc p where p.pronamespace = 'df'::regnamespace"
        " and p.prosqlbody is null"
        " and coalesce(array_to_string(p.proconfig, ';'), '') !~ 'search_path=pg_catalog, pg_temp'"
    )
    backslashes = await db.rows(
        "select p.proname from pg_proc p where p.pronamespace = 'df'::regnamespace"
        " and p.prosqlbody is null and strpos(p.prosrc, chr(92)) > 0 and p.proname <> 'explain'"
        " and coalesce(array_to_string(p.proconfig, ';'), '') !~ 'standard_conforming_strings=on'"
    )

    # One evaluates the caller's expression as the caller would; one resets the path, and names
    # the schema of everything.
    assert sorted(loose) == [("_end_step",), ("explain",)]
    assert backslashes == []


async def test_whatever_a_user_can_read_has_row_security(db: Database, user: Database) -> None:
    readable = await db.rows(
        "select c.relname, c.relkind, c.relrowsecurity,"
        " coalesce(array_to_string(c.reloptions, ';'), '') ~ 'security_barrier',"
        " pg_get_viewdef(c.oid) ~ 'WHERE false'"
        " from pg_class c where c.relnamespace = 'df'::regnamespace and c.relkind in ('r', 'v')"
        " and has_any_column_privilege('spec_user', c.oid, 'select')"
    )

    assert {name for name, *_ in readable} >= {"instances", "nodes", "vars", "_executions"}
    for name, kind, row_security, barrier, empty in readable:
        assert row_security if kind in ("r", b"r") else barrier or empty, name


async def test_users_hold_no_right_by_which_a_table_could_be_locked(
    db: Database, user: Database
) -> None:
    rights = await db.rows(
        "select c.relname, p.priv from pg_class c,"
        " unnest(array['insert', 'update', 'delete', 'truncate', 'references', 'trigger']) p (priv)"
        " where c.relnamespace = 'df'::regnamespace and c.relkind in ('r', 'v')"
        " and has_table_privilege('spec_user', c.oid, p.priv)"
    )

    assert rights == []


async def test_public_has_nothing_but_functions_it_cannot_reach(db: Database) -> None:
    assert not await db.scalar("select has_schema_privilege('public', 'df', 'usage, create')")
    assert (
        await db.rows(
            "select relname from pg_class where relnamespace = 'df'::regnamespace"
            " and relkind in ('r', 'v', 'S')"
            " and (has_table_privilege('public', oid, 'select, insert, update, delete')"
            "      or has_any_column_privilege('public', oid, 'select, insert, update'))"
        )
        == []
    )


async def test_roles_with_odd_names_do_all_that_others_do(db: Database, worker: Worker) -> None:
    for name in ODD_NAMES:
        role = sql.Identifier(name)
        await db.session.execute(sql.SQL("create role {} login").format(role))
        await db.rows("select df.grant_usage(%s)", name)
        odd = await db.connect_as(name)

        await odd.rows("select df.setvar('v', 'mine')")
        done = await odd.start("$$select current_user::text as who, '{v}' as v$$", name)
        parked = await odd.start("df.wait_for_signal('go')", name)

        assert await odd.completed_rows(done) == [{"who": name, "v": "mine"}]
        assert {id_ for (id_,) in await odd.rows("select id from df.instances")} == {done, parked}
        await odd.rows("select df.signal(%s, 'go')", parked)
        assert await odd.wait(parked) == "completed"
        assert len(await odd.rows("select * from df.list_instances(null, 9, %s)", name)) == 2
        await odd.rows("select df.unsetvar('v'), df.cancel(%s), df.explain(%s)", done, parked)
        await odd.close()
        await db.rows("select df.revoke_usage(%s)", name)
        await db.session.execute(sql.SQL("drop owned by {0}; drop role {0}").format(role))
    assert await db.scalar("select count(*) from df.list_instances()") == 2 * len(ODD_NAMES)


@pytest.mark.parametrize("name", ["public", "none"])
async def test_a_role_cannot_be_called_like_nobody_or_everybody(db: Database, name: str) -> None:
    with pytest.raises(psycopg.errors.ReservedName):
        await db.rows(f'create role "{name}"')


async def test_a_role_without_login_cannot_start(db: Database, user: Database) -> None:
    await db.rows("alter role spec_user nologin")

    with pytest.raises(psycopg.Error) as refused:
        await user.start("'select 1'")

    await db.rows("alter role spec_user login")
    assert refused.value.diag.message_primary == (
        'current_user "spec_user" does not have LOGIN privilege. '
        "The background worker must connect as this role to execute SQL. "
        "Grant LOGIN to this role or call df.start() as a role with LOGIN."
    )
    assert refused.value.sqlstate == "WF004"


async def test_a_superuser_starts_and_runs_only_where_the_setting_says_so(db: Database) -> None:
    name = await db.scalar("select current_database()")
    await db.rows(f"alter database {name} set pg_durable.enable_superuser_instances = off")
    off = await Database.connect(db.conninfo)

    with pytest.raises(psycopg.Error, match="superuser instances are disabled"):
        await off.start("'select 1'")
    await off.rows("set pg_durable.enable_superuser_instances = on")
    instance = await off.start("'select 1'")
    async with worker_here(db.conninfo):
        assert await off.wait(instance) == "failed"

    assert "pg_durable.enable_superuser_instances is off" in await off.output(instance)
    await off.close()


@pytest.fixture
async def others(db: Database, user: Database) -> AsyncIterator[None]:
    """Roles beside spec_user: one that may grant, one to be granted to."""
    await db.rows("create role spec_admin login; create role spec_other login")
    await db.rows("select df.grant_usage('spec_admin', with_grant => true)")
    yield
    await db.rows("reset role; drop owned by spec_admin, spec_other cascade")
    await db.rows("drop role spec_admin, spec_other")


@pytest.mark.usefixtures("others")
async def test_a_member_of_a_role_sees_its_rows_only_as_that_role(
    db: Database, user: Database
) -> None:
    await db.rows("select df.grant_usage('spec_other'); grant spec_user to spec_other")
    instance = await user.start("'select 1'")

    other = await db.connect_as("spec_other")

    assert await other.scalar("select count(*) from df.instances") == 0
    with pytest.raises(psycopg.Error, match="not found or access denied"):
        await other.rows("select df.cancel(%s)", instance)
    await other.rows("set role spec_user")
    assert await other.rows("select id from df.instances") == [(instance,)]
    await other.rows("select df.cancel(%s)", instance)
    await other.close()


@pytest.mark.usefixtures("others")
async def test_a_role_that_bypasses_row_security_sees_signals_and_cancels_all(
    db: Database, user: Database
) -> None:
    await db.rows("select df.grant_usage('spec_other'); alter role spec_other bypassrls")
    instance = await user.start("df.wait_for_signal('go')")
    await user.rows("select df.setvar('v', 'mine')")

    other = await db.connect_as("spec_other")

    assert await other.rows("select id from df.instances") == [(instance,)]
    await other.rows("select df.signal(%s, 'x')", instance)
    assert await other.rows("select name from df._buffered_signals") == [("x",)]
    await other.rows("select df.clearvars()")  # its own, of which there are none
    assert await user.scalar("select df.getvar('v')") == "mine"
    await other.rows("select df.cancel(%s)", instance)
    assert await user.status(instance) == "cancelled"
    await other.close()


@pytest.mark.usefixtures("others")
async def test_a_delegate_grants_what_it_has_and_takes_back_what_it_gave(db: Database) -> None:
    admin = await db.connect_as("spec_admin")
    other = await db.connect_as("spec_other")

    await admin.rows("select df.grant_usage('spec_other', with_grant => true)")
    await other.rows("select * from df.metrics(); select df.grant_usage('spec_admin')")
    await other.rows("select df.revoke_usage('spec_admin')")  # not what the owner has granted
    await admin.rows("select * from df.metrics()")
    await db.rows("select df.grant_usage('spec_other')")
    await admin.rows("select df.revoke_usage('spec_other')")  # nor here: the owner's grant is left

    assert await other.start("'select 1'")
    for refused in ("select * from df.metrics()", "select df.grant_usage('spec_other')"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await other.rows(refused)
    await db.rows("select df.revoke_usage('spec_other')")
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="schema df"):
        await other.start("'select 1'")
    await admin.close()
    await other.close()


@pytest.mark.usefixtures("others")
async def test_what_a_delegate_gave_falls_with_its_own_rights(db: Database) -> None:
    admin = await db.connect_as("spec_admin")
    other = await db.connect_as("spec_other")
    await admin.rows("select df.grant_usage('spec_other')")
    assert await other.start("'select 1'")

    await db.rows("select df.revoke_usage('spec_admin')")

    for session in (admin, other):
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="schema df"):
            await session.start("'select 1'")
        await session.close()


@pytest.mark.usefixtures("others")
async def test_metrics_can_be_granted_alone_and_users_do_not_have_it(
    db: Database, user: Database
) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        await user.rows("select * from df.metrics()")

    await db.rows("grant execute on function df.metrics() to spec_user")

    assert await user.rows("select total_instances from df.metrics()") == [(0,)]
    await db.rows("revoke execute on function df.metrics() from spec_user")


async def test_usage_granted_to_public_keeps_each_to_its_own_rows(
    db: Database, user: Database
) -> None:
    await db.rows("create role spec_anybody login; select df.grant_usage('public')")
    await user.start("'select 1'")

    anybody = await db.connect_as("spec_anybody")
    await anybody.start("'select 1'")

    assert await anybody.scalar("select count(*) from df.instances") == 1
    assert await user.scalar("select count(*) from df.instances") == 1
    await db.rows("select df.revoke_usage('public')")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        await anybody.rows("select df.version()")
    await anybody.close()
    await db.rows("drop role spec_anybody")


async def test_a_dropped_role_leaves_rows_that_everybody_can_still_look_at(
    db: Database, worker: Worker
) -> None:
    await db.rows("create role spec_leaving login; select df.grant_usage('spec_leaving')")
    leaving = await db.connect_as("spec_leaving")
    await leaving.rows("select df.setvar('v', 'left behind')")
    done = await leaving.start("'select 1 as v'", "done")
    parked = await leaving.start("df.wait_for_signal('go') ~> 'select 1'", "parked")
    await leaving.wait(done)

    async def waits() -> object:
        return await db.rows("select waits_for from df.waiting_for(%s)", parked) == [("signal go",)]

    await until(waits)
    await leaving.close()
    with pytest.raises(psycopg.errors.DependentObjectsStillExist):
        await db.rows("drop role spec_leaving")

    await db.rows("drop owned by spec_leaving; drop role spec_leaving")

    assert await db.completed_rows(done) == [{"v": 1}]
    assert len(await db.rows("select * from df.list_instances()")) == 2
    assert len(await db.rows("select * from df.instance_nodes(%s)", parked)) == 3
    await db.rows("select * from df.instance_info(%s), df.metrics()", parked)
    await db.rows("select df.explain(%s), df.result(%s)", parked, done)
    await db.rows("select df.signal(%s, 'go')", parked)
    assert await db.wait(parked) == "failed"
    assert await db.output(parked) == (
        f"Instance {parked}: submitted_by role no longer exists in pg_roles"
    )


async def test_the_workflows_of_a_role_without_usage_end_at_their_next_step(
    db: Database, user: Database
) -> None:
    async with worker_here(db.conninfo, max_attempts=2, lane_idle=0, heartbeat_interval=0.1):
        instance = await user.start("'select 1' ~> df.sleep(1) ~> 'select 2'")
        await db.rows("select df.revoke_usage('spec_user')")

        assert await db.wait(instance) == "failed"

    assert "permission denied for schema df" in await db.output(instance)
