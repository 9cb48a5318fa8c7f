"""Who runs a step, with which settings and rights: those of the role that started it."""

from pg_durable.engine.worker import Worker
from support.database import Database
from support.waiting import until
from support.workers import worker_here


async def test_a_step_has_the_settings_of_its_role_and_none_of_the_callers(
    db: Database, worker: Worker, user: Database
) -> None:
    await db.rows("alter role spec_user set timezone = 'Asia/Kathmandu'")
    await db.rows("alter role spec_user set datestyle = 'German'")
    await db.rows("alter role spec_user set work_mem = '7MB'")
    await user.rows("set search_path = pg_catalog; set work_mem = '9MB'")

    instance = await user.start_sql(
        "select name, current_setting(name) as value from unnest(array['df.in_workflow',"
        " 'timezone', 'datestyle', 'client_encoding', 'work_mem', 'search_path',"
        " 'application_name']) name"
    )

    assert await user.completed_rows(instance) == [
        {"name": "df.in_workflow", "value": "true"},
        {"name": "timezone", "value": "UTC"},
        {"name": "datestyle", "value": "ISO, MDY"},
        {"name": "client_encoding", "value": "UTF8"},
        {"name": "work_mem", "value": "7MB"},
        {"name": "search_path", "value": '"$user", public'},
        {"name": "application_name", "value": "pg_durable:worker:workflow-sql"},
    ]


async def test_the_statement_timeout_of_a_role_holds_for_its_steps(
    db: Database, worker: Worker, user: Database
) -> None:
    await db.rows("alter role spec_user set statement_timeout = '200ms'")

    instance = await user.start_sql("select pg_sleep(60)")

    assert await db.wait(instance) == "failed"
    assert await db.output(instance) == (
        "SQL execution failed: error returned from database:"
        " canceling statement due to statement timeout"
    )


async def test_the_rights_that_count_are_those_when_the_step_runs(
    db: Database, worker: Worker, user: Database
) -> None:
    await db.rows("create table t (i int); grant select on t to spec_user")
    waits = "df.wait_for_signal('go') ~> 'select count(*) as n from t'"
    allowed, refused, kept_out = [await user.start(waits) for _ in range(3)]

    await db.rows("select df.signal(%s, 'go')", allowed)
    assert await db.completed_rows(allowed) == [{"n": 0}]
    await db.rows("revoke select on t from spec_user")
    await db.rows("select df.signal(%s, 'go')", refused)
    assert await db.wait(refused) == "failed"
    await db.rows(
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where application_name = 'pg_durable:worker:workflow-sql'"
    )
    await db.rows("alter role spec_user nologin")
    await db.rows("select df.signal(%s, 'go')", kept_out)

    assert await db.wait(kept_out) == "failed"
    assert await db.output(refused) == (
        "SQL execution failed: error returned from database: permission denied for table t"
    )
    refusal = await db.output(kept_out)
    assert refusal.startswith("Failed to connect to database '")
    assert "' as 'spec_user'. Error: " in refusal
    assert "not permitted to log in" in refusal


async def test_a_role_that_has_become_a_superuser_is_kept_from_running(
    db: Database, user: Database
) -> None:
    instance = await user.start("'select 1'")
    name = await db.scalar("select current_database()")
    await db.rows("alter role spec_user superuser")
    await db.rows(f"alter database {name} set pg_durable.enable_superuser_instances = off")

    async with worker_here(db.conninfo):
        assert await db.wait(instance) == "failed"

    assert await db.output(instance) == (
        f'pg_durable blocked instance {instance}: submitted_by role "spec_user" is a superuser,'
        " but pg_durable.enable_superuser_instances is off"
    )
    assert await db.rows("select status, result from df.nodes") == [("pending", None)]


async def test_a_role_may_be_renamed_while_its_workflow_waits(
    db: Database, worker: Worker, user: Database
) -> None:
    instance = await user.start("df.wait_for_signal('go') ~> 'select current_user::text as who'")
    await user.close()

    async def parked() -> bool:
        return bool(await db.scalar("select due_at = 'infinity' from df.instances"))

    await until(parked)
    await db.rows("alter role spec_user rename to spec_renamed")
    try:
        await db.rows("select df.signal(%s, 'go')", instance)
        assert await db.completed_rows(instance) == [{"who": "spec_renamed"}]
    finally:
        await db.rows("alter role spec_renamed rename to spec_user")


async def test_a_step_may_start_a_workflow_that_is_none_of_its_own(
    db: Database, worker: Worker, user: Database
) -> None:
    start = "$$select df.start('select 5 as v', 'child') as id$$"
    parent = await user.start(f"{start} |=> 'child' ~> 'select 1/0'", "parent")
    undone = await user.start("$$select df.start('select 1', 'undone'), 1/0$$", "failing")

    assert await db.wait(parent) == await db.wait(undone) == "failed"
    await db.wait_all()
    assert await db.rows("select label, status from df.instances order by label") == [
        ("child", "completed"),
        ("failing", "failed"),
        ("parent", "failed"),
    ]
