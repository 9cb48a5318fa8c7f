"""What a user can hold up: locks, floods and sheer size. Others go on all the while."""

import psycopg
import pytest

from attacks.conftest import Victim
from support.database import Database
from support.waiting import until


@pytest.mark.parametrize(
    "locks",
    [
        "select pg_advisory_lock(1885824117, g) from generate_series(2, 50) g",
        "select pg_try_advisory_lock(1885824117, 0)",
        "select pg_advisory_lock_shared(1885824117, 0)",
        "select pg_advisory_lock(1346982470, g) from generate_series(0, 9) g",
        "select pg_advisory_lock(1885824117, 1768846196)",
        "lock table df.instances, df.nodes, df.vars, df._executions in access share mode",
        "select * from df.instances, df.nodes, df.vars",
        "select df.start('select 1') from generate_series(1, 100)",
        "select df.start('select 1', 'lasts') from generate_series(1, 3); savepoint s;"
        "select df.setvar('a', 'b'), df.cancel(id), df.signal(id, 'x') from df.instances",
        "select pg_notify('pg_durable', 'cancel ' || g) from generate_series(1, 1000) g",
    ],
)
async def test_an_open_transaction_with_every_lock_there_is_stops_nobody_else(
    victim: Victim, attacker: Database, locks: str
) -> None:
    await attacker.rows("begin")
    for statement in locks.split(";"):
        # A worker that is idle holds that lock; one that is busy lets it go.
        taken = "pg_try" not in statement

        async def done(statement: str = statement, taken: bool = taken) -> object:
            rows = await attacker.rows(statement)
            if not taken and rows == [(False,)]:
                for _ in range(5):  # in quick succession: after one alone it is idle as before
                    await victim.session.start("'select 1'", "keeps the worker busy")
            return taken or rows == [(True,)]

        await until(done)
    await victim.db.rows("delete from df.instances where label = 'keeps the worker busy'")

    await victim.is_unharmed()


async def test_all_launch_slots_taken_keep_nobody_from_starting_in_the_callers_mode(
    victim: Victim, attacker: Database
) -> None:
    await victim.db.rows("create extension dblink")
    await attacker.rows("select pg_advisory_lock(1346982470, g) from generate_series(0, 9) g")
    await victim.session.rows("set pg_durable.new_transaction_start_timeout = 1")

    with pytest.raises(psycopg.Error, match="launch limit reached"):
        await victim.session.rows("select df.start('select 1', transaction_mode => 'new')")

    await victim.is_unharmed()


async def test_a_lock_in_the_place_of_a_dead_workers_delays_its_successor_by_the_lease_at_most(
    victim: Victim, attacker: Database
) -> None:
    await victim.db.rows(
        "insert into df._worker_epoch (worker, name, last_seen_at) overriding system value"
        " values (77, 'dead', clock_timestamp() - interval '14 s')"
    )
    await attacker.rows("select pg_advisory_lock(1885824117, 77)")
    await victim.db.rows(
        "update df.instances set worker = 77, due_at = now() where id = %s", victim.waiting
    )

    async def taken_over() -> object:
        return await victim.db.scalar("select count(*) = 1 from df._worker_epoch")

    await until(taken_over)
    await victim.is_unharmed()


async def test_a_flood_of_notifications_stops_nobody(victim: Victim, attacker: Database) -> None:
    payloads = ("", "cancel", "cancel ", "signal", "signal x", f"cancel {victim.waiting}",
                f"signal {victim.waiting}", "signal \u2028\x1b[2J", "x" * 7999,
                "start", "start ", "start 0", "start -1", "start 10", "start 4294967295",
                "start 4294967296", "start 99999999999", "start 1 2", "start \u0661")  # fmt: skip

    for _ in range(20):
        for payload in payloads:
            await attacker.rows(
                "select pg_notify('pg_durable', %s::text) from generate_series(1, 100)", payload
            )

    await victim.is_unharmed()


async def test_a_workflow_too_large_to_be_read_is_refused(
    victim: Victim, attacker: Database
) -> None:
    with pytest.raises(psycopg.Error, match="the workflow has 8388609 bytes; the limit is"):
        await attacker.rows("select df.start(rpad('select 1', 8388609))")
    for name in ("a", "b"):
        await attacker.rows("select df.setvar(%s, repeat('x', 5000000))", name)
    with pytest.raises(psycopg.Error, match="the variables together have 10000022 bytes; the"):
        await attacker.rows("select df.start('select 1')")

    assert await attacker.scalar("select count(*) from df.instances") == 0
    await victim.is_unharmed()


async def test_a_workflow_as_large_as_may_be_is_claimed_along_with_those_of_others(
    victim: Victim, attacker: Database
) -> None:
    await attacker.rows("select df.setvar('large', repeat(chr(1), 1390000))")
    largest = "select df.start('select ''' || repeat(chr(1), 8388000) || '''')"

    await attacker.rows(largest)

    await victim.is_unharmed()
    await attacker.rows("select df.cancel(id) from df.instances")


async def test_a_hundred_workflows_that_fail_at_once_delay_nobody_for_long(
    victim: Victim, attacker: Database
) -> None:
    await attacker.rows(
        "select df.start('select pg_terminate_backend(pg_backend_pid())')"
        " from generate_series(1, 30)"
    )
    await attacker.rows("select df.start('select 1/0') from generate_series(1, 100)")

    await victim.is_unharmed()


async def test_nothing_that_a_user_wrote_is_in_the_log_of_a_worker(
    victim: Victim, attacker: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    forged = "evil\n2026-01-01 ERROR forged \x1b[2J"
    await attacker.rows("select df.setvar('v', %s)", forged)

    failing = await attacker.start(f"$$do $x$ begin raise '{forged}'; end $x$ $$", forged)
    lost = await attacker.start("$$select '{v}', pg_terminate_backend(pg_backend_pid())$$", forged)

    assert await attacker.wait(failing) == await attacker.wait(lost) == "failed"
    assert "forged" not in caplog.text
    await victim.is_unharmed()


async def test_the_cancellation_of_a_workflow_of_ones_own_left_open_holds_up_nobody(
    victim: Victim, attacker: Database
) -> None:
    mine = await attacker.start("df.sleep(1) ~> 'select 1'")

    async with attacker.session.transaction():
        await attacker.rows("select df.cancel(%s)", mine)
        await victim.is_unharmed()

    assert await attacker.status(mine) == "cancelled"
