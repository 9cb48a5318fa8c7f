"""One user's workflows, locks and objects never stop or capture anybody else's."""

import gc

import pytest
from psycopg.rows import TupleRow

from pg_durable.engine.run import Run
from pg_durable.engine.worker import Worker
from pg_durable.errors import ServerUnavailable
from pg_durable.graph.outcomes import Failed
from pg_durable.lanes.lane import Lane
from pg_durable.lanes.session import Rejected, check_opened
from pg_durable.records import Checkpoint
from pg_durable.store import Store, StoreError
from pg_durable.wire import Wire
from pg_durable.wire.dsn import worker_dsn
from support.database import Database
from support.waiting import until
from support.workers import worker_here


async def test_objects_planted_in_public_are_not_run_by_the_worker(
    db: Database, database: str
) -> None:
    await db.rows("create table captured (who text)")
    await db.rows("grant all on schema public to public")
    for argument in ("text", "float8"):
        await db.rows(
            f"create function public.make_interval(secs {argument}) returns interval"
            " language plpgsql as $$"
            " begin insert into public.captured values (current_user); return '15 s'; end $$"
        )
    await db.rows(
        "create function public.same(df.instance_id, text) returns boolean language plpgsql as $$"
        " begin insert into public.captured values (current_user); return true; end $$"
    )
    await db.rows(
        "create operator public.="
        " (leftarg = df.instance_id, rightarg = text, function = public.same)"
    )

    async with worker_here(database, take_over_interval=0.05):
        instance = await db.start("'select 1'")
        assert await db.wait(instance) == "completed"
        await db.rows("select df.cancel(%s)", instance)

    assert await db.rows("select * from captured") == []


async def test_an_invented_cancel_notification_changes_nothing(
    db: Database, worker: Worker
) -> None:
    instance = await db.start("'select 42 as v from pg_sleep(1)'")

    async def running() -> bool:
        return await db.status(instance) == "running"

    await until(running)
    await db.rows("select pg_notify('pg_durable', 'cancel ' || %s)", instance)

    assert await db.wait(instance) == "completed"


async def test_a_cancellation_left_open_holds_up_nobody_else(db: Database, database: str) -> None:
    async with worker_here(database, take_over_interval=0.1):
        slow = await db.start("'select pg_sleep(1)' ~> 'select 1'")

        async def running() -> bool:
            return await db.status(slow) == "running"

        await until(running)
        other = await Database.connect(db.conninfo)
        await other.rows("begin")
        await other.rows("select df.cancel(%s)", slow)

        innocent = await db.start("df.sleep(1) ~> 'select 1'")
        assert await db.wait(innocent, within=10) == "completed"
        await other.rows("rollback")
        assert await db.wait(slow, within=10) == "completed"
        await other.close()


async def test_branches_that_wait_for_each_others_rows_do_not_deadlock_the_worker(
    db: Database, worker: Worker
) -> None:
    await db.rows("create table c (n int)")
    await db.rows("insert into c values (0)")
    await db.rows("create table l (i int)")
    await db.rows(
        "create function touch() returns trigger language plpgsql as"
        " $$ begin update c set n = n + 1; return null; end $$"
    )
    await db.rows(
        "create constraint trigger late after insert on l deferrable initially deferred"
        " for each row execute function touch()"
    )

    instance = await db.start(
        "('with u as (update c set n = n + 1 returning 1) select pg_sleep(0.5) from u'"
        " & 'insert into l values (1)') ~> 'select n from c'"
    )

    assert await db.wait(instance, within=15) == "completed"
    assert (await db.result(instance))["rows"] == [{"n": 2}]


async def test_a_step_may_cancel_its_own_instance(db: Database, worker: Worker) -> None:
    instance = await db.start("'select df.cancel(''{sys_instance_id}'')' ~> 'select 1'")

    assert await db.wait(instance, within=10) == "cancelled"


async def test_a_node_finished_behind_the_workers_back_does_not_strand_its_instance(
    db: Database, worker: Worker
) -> None:
    instance = await db.start("'select pg_sleep(1)' ~> 'select 2 as v'")

    async def running() -> bool:
        return await db.status(instance) == "running"

    await until(running)
    await db.rows(
        "update df.nodes set status = 'completed', result = '{\"rows\":[],\"row_count\":0}'"
        " where instance_id = %s and query like '%%sleep%%'",
        instance,
    )

    assert await db.wait(instance, within=15) == "completed"


@pytest.mark.parametrize("sqlstate", ["08001", "57P01"])
async def test_an_error_that_only_looks_like_a_lost_connection_fails_the_step(
    db: Database, worker: Worker, sqlstate: str
) -> None:
    instance = await db.scalar(
        "select df.start(%s)",
        f"do $$ begin raise exception 'far away' using errcode = '{sqlstate}'; end $$",
    )

    assert await db.wait(instance, within=10) == "failed"


async def test_a_step_that_keeps_ending_its_session_is_given_up(
    db: Database, database: str
) -> None:
    async with worker_here(database, max_attempts=2):
        instance = await db.start("'select pg_terminate_backend(pg_backend_pid())'")

        assert await db.wait(instance, within=15) == "failed"
    assert "given up after 2 attempts in a row" in await db.output(instance)


async def test_a_huge_result_is_cut_off_while_it_is_read(db: Database, database: str) -> None:
    async with worker_here(database, max_result_bytes=100_000):
        huge = await db.start("'select repeat(''x'', 1000) from generate_series(1, 10000000)'")
        assert await db.wait(huge, within=10) == "failed"

    assert "max_result_bytes" in await db.output(huge)


async def test_a_statement_that_substitution_blows_up_fails(db: Database, database: str) -> None:
    async with worker_here(database, max_result_bytes=100_000):
        instance = await db.start(
            "'select repeat(''x'', 60000) as x' |=> 'x' ~> 'select length($x || $x)'"
        )
        assert await db.wait(instance) == "failed"

    assert "exceed 100000 characters" in await db.output(instance)


async def test_a_role_that_sees_snapshots_runs_a_slow_step_once(
    db: Database, worker: Worker
) -> None:
    await db.rows("create sequence runs")
    await db.rows("create role snap login")
    await db.rows("alter role snap set default_transaction_isolation = 'repeatable read'")
    await db.rows("select df.grant_usage('snap')")
    await db.rows("grant all on sequence runs to snap")
    snap = await db.connect_as("snap")

    instance = await snap.start("'select nextval(''runs''), pg_sleep(0.5)'")

    assert await db.wait(instance) == "completed"
    assert await db.scalar("select last_value from runs") == 1
    await snap.close()
    await db.rows("drop owned by snap")
    await db.rows("drop role snap")


async def test_locks_that_anybody_may_take_do_not_keep_a_worker_from_starting(
    db: Database, database: str
) -> None:
    await db.rows("select pg_advisory_lock(1885824117, g) from generate_series(1, 20) g")

    async with worker_here(database):
        assert await db.wait(await db.start("'select 1'"), within=10) == "completed"


async def test_an_open_checkpoint_of_a_user_stops_no_worker(db: Database, worker: Worker) -> None:
    instance = await db.start("df.wait_for_signal('x') & 'select pg_sleep(5)'")

    async def registered() -> list[TupleRow]:
        return await db.rows(
            "select n.id, i.worker from df.nodes n join df.instances i on i.id = n.instance_id"
            " where n.node_type = 'SIGNAL' and n.status = 'running' and i.worker is not null"
        )

    await until(registered)
    ((node, number),) = await registered()
    other = await Database.connect(db.conninfo)
    async with other.session.transaction(force_rollback=True):
        await other.rows(
            "select df._checkpoint(%s, %s, array[%s], array[1], array['completed'], array['1'],"
            " array[null::text], null, null)",
            instance,
            number,
            node,
        )
        await db.rows("select df.signal(%s, 'x')", instance)

        assert await db.wait(await db.start("'select 1'"), within=5) == "completed"
    await other.close()
    assert await db.wait(instance) == "completed"


async def test_no_statement_outside_a_transaction_runs_after_a_cancellation(
    db: Database, worker: Worker
) -> None:
    await db.rows("create table done (n int)")
    await db.rows(
        "create procedure p() language plpgsql as"
        " $$ begin insert into done values (1); commit; end $$"
    )
    workflow = "'select df.cancel(''{sys_instance_id}'')' ~> 'call p()'"
    instances = [await db.start(workflow) for _ in range(20)]

    for instance in instances:
        assert await db.wait(instance) == "cancelled"
    assert await db.wait(await db.start("'call p()'")) == "completed"
    assert await db.scalar("select count(*) from done") == 1


async def test_a_lock_on_the_engines_tables_is_waited_for(db: Database, worker: Worker) -> None:
    await db.wait(await db.start("'select 1'"))
    before = await db.rows("select worker from df._worker_epoch")

    await db.rows(
        "do $$ begin lock table df.instances, df.nodes in access exclusive mode;"
        " perform pg_sleep(1.5); end $$"
    )

    assert await db.wait(await db.start("'select 1'")) == "completed"
    assert await db.rows("select worker from df._worker_epoch") == before


async def test_a_session_lost_while_the_others_of_its_worker_are_opened_does_not_end_the_worker(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    listen, wires = Store.listen, list[Wire]()

    async def lose_one(store: Store) -> None:
        await listen(store)
        if wires:
            return
        wires.extend(item for item in gc.get_objects() if isinstance(item, Wire) and not item.lost)
        await db.rows(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where application_name = 'pg_durable:worker:duroxide'"
            " and datname = current_database()"
        )

        async def lost() -> bool:
            return any(wire.lost for wire in wires)

        await until(lost)

    monkeypatch.setattr(Store, "listen", lose_one)
    instance = await db.start_sql("select 1")

    async with worker_here(db.conninfo):
        assert await db.wait(instance) == "completed"

    assert wires


async def test_a_login_for_a_step_that_fails_for_now_is_tried_again(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_in, tries = Lane.open, list[str]()

    async def fail_once(conninfo: str, limit: int, role: str | None = None) -> Lane:
        tries.append(conninfo)
        if len(tries) == 1:
            raise ServerUnavailable("Connection reset by peer")
        return await log_in(conninfo, limit, role)

    monkeypatch.setattr(Lane, "open", fail_once)
    instance = await db.start_sql("select 1")

    async with worker_here(db.conninfo):
        assert await db.wait(instance) == "completed"

    assert len(tries) == 2


async def test_an_instance_whose_run_ends_with_an_error_is_claimed_again(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    drive, driven = Run.drive, list[Run]()

    async def break_once(run: Run) -> None:
        driven.append(run)
        if len(driven) == 1:
            raise RecursionError("maximum recursion depth exceeded")
        await drive(run)

    monkeypatch.setattr(Run, "drive", break_once)
    instance = await db.start_sql("select 1")

    async with worker_here(db.conninfo):
        assert await db.wait(instance) == "completed"

    assert len(driven) == 2


async def test_an_outage_of_the_server_does_not_count_as_a_try(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    drive, driven = Run._drive, list[Run]()

    async def fill_the_disk_at_first(run: Run) -> None:
        driven.append(run)
        if len(driven) <= 3:
            raise StoreError("could not extend file: No space left on device", "53100")
        await drive(run)

    monkeypatch.setattr(Run, "_drive", fill_the_disk_at_first)
    instance = await db.start_sql("select 1")

    async with worker_here(db.conninfo, max_attempts=2):
        assert await db.wait(instance) == "completed"

    assert len(driven) == 4


async def test_a_failed_step_that_could_not_be_recorded_at_once_is_recorded_later(
    db: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    commit_apart, tried = Lane.commit_apart, list[Checkpoint]()

    async def fill_the_disk_at_first(lane: Lane, checkpoint: Checkpoint) -> None:
        tried.append(checkpoint)
        if len(tried) == 1:
            message = "could not extend file: No space left on device"
            raise Rejected(Failed(message), "53100", of_the_user=False)
        await commit_apart(lane, checkpoint)

    monkeypatch.setattr(Lane, "commit_apart", fill_the_disk_at_first)
    instance = await db.start_sql("select 1/0")

    async with worker_here(db.conninfo):
        assert await db.wait(instance) == "failed"

    assert len(tried) == 2
    assert "division by zero" in str(await db.output(instance))
    assert "cannot be driven" not in caplog.text


async def test_a_cancelled_opening_of_a_session_is_no_fault_of_the_instance(database: str) -> None:
    wire = await Wire.connect(worker_dsn(database, "test"))
    wire.execute("select pg_cancel_backend(pg_backend_pid()), pg_sleep(10)")
    results = await wire.sync()
    wire.close()

    with pytest.raises(StoreError, match="No session for a step: canceling statement") as refused:
        check_opened(results)

    assert refused.value.passes


async def test_steps_of_a_role_that_may_not_use_the_schema_any_more_are_given_up(
    db: Database,
) -> None:
    await db.rows("create role outsider login; select df.grant_usage('outsider')")
    outsider = await db.connect_as("outsider")
    instance = await outsider.start("'select 1'")
    await outsider.close()
    await db.rows("select df.revoke_usage('outsider')")

    async with worker_here(db.conninfo, max_attempts=2):
        assert await db.wait(instance) == "failed"

    output = await db.output(instance)
    assert output == (
        "given up after 2 attempts in a row: No session for a step: permission denied for schema df"
    )
