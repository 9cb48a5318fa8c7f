"""Who may finish a step: the row decides, whatever the workers believe."""

import asyncio

import pytest

from pg_durable.engine.worker import Worker
from pg_durable.schema import install
from support.database import Database
from support.waiting import until
from support.workers import worker_here


async def test_a_step_whose_node_was_finished_by_another_rolls_back(
    db: Database, worker: Worker
) -> None:
    await db.rows("create table t (i int)")
    other = await Database.connect(db.conninfo)
    instance = await db.start("'insert into t select 1 from pg_sleep(1)' ~> 'select 2'")

    await until(lambda: db.active("insert into t"))
    await other.rows(
        "update df.nodes set status = 'completed', result = '{\"rows\":[],\"row_count\":0}'"
        " where instance_id = %s and query like 'insert%%'",
        instance,
    )
    await other.rows(
        "update df.instances set worker = null, due_at = now() where id = %s", instance
    )

    assert await db.wait(instance) == "completed"
    assert await db.scalar("select count(*) from t") == 0
    await other.close()


@pytest.mark.parametrize("told", [True, False])
async def test_a_cancelled_instances_statement_is_stopped_and_rolled_back(
    database: str, db: Database, told: bool
) -> None:
    await db.rows("create table t (i int)")
    async with worker_here(database, take_over_interval=0.2):
        instance = await db.start("'insert into t select 1 from pg_sleep(60)'")

        await until(lambda: db.active("insert into t"))
        if not told:  # as if the notification were lost
            await db.rows(
                "update df.nodes set stopped_through = 2147483647 where instance_id = %s", instance
            )
            await db.rows(
                "update df.instances set status = 'cancelled', worker = null, due_at = null,"
                " output = 'canceled: changed my mind' where id = %s",
                instance,
            )
        else:
            text = await db.scalar("select df.cancel(%s, 'changed my mind')", instance)
            assert text == f"Instance {instance} cancelled: changed my mind"

        async def stopped() -> bool:
            return not await db.active("insert into t")

        await until(stopped, within=30)
    assert await db.status(instance) == "cancelled"
    assert await db.scalar("select count(*) from t") == 0
    assert await db.output(instance) == "canceled: changed my mind"


async def test_a_session_that_is_terminated_runs_its_step_again(
    db: Database, worker: Worker
) -> None:
    await db.rows("create table t (i int)")
    instance = await db.start("'insert into t select 1 from pg_sleep(0.5)'")

    async def killed() -> object:
        return await db.scalar(
            "select count(*) from (select pg_terminate_backend(pid) from pg_stat_activity"
            " where query like 'insert into t%%' and state = 'active') k"
        )

    await until(killed)

    assert await db.wait(instance) == "completed"
    assert await db.scalar("select count(*) from t") == 1


async def test_a_worker_survives_the_loss_of_its_own_sessions(db: Database, worker: Worker) -> None:
    await db.wait(await db.start("'select 1'"))
    await db.rows(
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where application_name in ('pg_durable:worker:poll', 'pg_durable:worker:management')"
        " and datname = current_database()"
    )

    instance = await db.start("'select 1'")

    assert await db.wait(instance) == "completed"


async def test_an_installation_under_a_running_worker_breaks_nothing(
    db: Database, worker: Worker
) -> None:
    await db.rows(
        "select df.start('select pg_sleep(0.01)' ~> 'select 1') from generate_series(1, 200)"
    )

    await asyncio.to_thread(install, db.conninfo)
    await db.wait_all()

    assert await db.scalar("select count(*) from df.instances where status = 'completed'") == 200


@pytest.mark.parametrize("restored", ["worker = 99", "worker = 99, due_at = null"])
async def test_instances_of_a_worker_that_left_no_trace_are_taken_over(
    db: Database, restored: str
) -> None:
    instance = await db.start("'select 1'")
    await db.rows(f"update df.instances set {restored} where id = %s", instance)

    async with worker_here(db.conninfo):
        assert await db.wait(instance) == "completed"


async def test_a_worker_without_grace_gives_back_a_running_step_at_once(
    database: str, db: Database
) -> None:
    await db.rows("create table t (i int)")
    async with worker_here(database, grace=0):
        instance = await db.start("'insert into t select 1 from pg_sleep(60)'")

        await db.wait(instance, ["running"])

    assert await db.row("select status, worker from df.instances where id = %s", instance) == (
        "running",
        None,
    )
    assert await db.scalar("select count(*) from df._worker_epoch") == 0


async def test_a_step_that_cancels_its_instance_in_a_subtransaction_commits_both(
    db: Database, worker: Worker
) -> None:
    await db.rows("create table done (n int)")
    await db.rows(
        "create function give_up(id text) returns void language plpgsql as $$"
        " begin insert into done values (1);"
        "  begin perform df.cancel(id, 'enough'); exception when others then raise; end;"
        " end $$"
    )
    instance = await db.start("'select give_up(''{sys_instance_id}'')' ~> 'select 1/0'")

    assert await db.wait(instance) == "cancelled"
    assert await db.scalar("select count(*) from done") == 1
    assert await db.output(instance) == "canceled: enough"
