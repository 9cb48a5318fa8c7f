"""Signals: never lost, in order, in the sender's transaction, and used exactly once."""

from pg_durable.engine.worker import Worker
from support.database import Database
from support.waiting import until
from support.workers import WorkerProcess, worker_here


async def waits(db: Database, instance: str, count: int = 1) -> None:
    """Wait until so many waits for signals are registered, and the instance is let go of."""

    async def there() -> bool:
        return bool(
            await db.scalar(
                "select count(*) = %s from df.nodes n join df.instances i on i.id = n.instance_id"
                " where i.id = %s and i.worker is null"
                " and n.node_type = 'SIGNAL' and n.status = 'running'",
                count,
                instance,
            )
        )

    await until(there)


async def received(db: Database, instance: str) -> object:
    """The data of the signal that an instance ended with."""
    assert await db.wait(instance) == "completed"
    return (await db.result(instance))["data"]


async def test_a_signal_ends_the_wait_for_it_with_its_data(db: Database, worker: Worker) -> None:
    instance = await db.start("df.wait_for_signal('go')")
    await waits(db, instance)

    assert await db.scalar("""select df.signal(%s, 'go', '{"n": 1.50}')""", instance) == "OK"

    assert await db.wait(instance) == "completed"
    assert await db.scalar("select df.result(%s)", instance) == (
        '{"data": {"n": 1.50}, "timed_out": false, "signal_name": "go"}'
    )


async def test_signals_sent_before_the_wait_are_kept_in_order(db: Database, worker: Worker) -> None:
    waits_twice = "df.wait_for_signal('go') |=> 'a' ~> df.wait_for_signal('go')"
    instance = await db.start(f"df.sleep(interval '100 ms') ~> {waits_twice}")
    await db.rows(
        "select df.signal(%s, 'other', 'x'), df.signal(%s, 'go', '1'), df.signal(%s, 'go', 'two')",
        *[instance] * 3,
    )

    assert await received(db, instance) == "two"
    left = await db.rows("select name from df._signals where instance_id = %s", instance)
    assert left == [("other",)]


async def test_a_signal_in_the_starts_transaction_is_found(db: Database, worker: Worker) -> None:
    async with db.session.transaction():
        instance = await db.start("df.wait_for_signal('go', 60)")
        await db.rows("select df.signal(%s, 'go', '1')", instance)

    assert await received(db, instance) == 1


async def test_one_signal_goes_to_all_waits_that_are_registered(
    db: Database, worker: Worker
) -> None:
    instance = await db.start("df.join('select 1', df.wait_for_signal('go'), "
                              "'select 2' ~> df.wait_for_signal('go'))")  # fmt: skip
    await waits(db, instance, 2)

    await db.rows("select df.signal(%s, 'go', '7')", instance)

    assert await db.wait(instance) == "completed"
    assert [branch.get("data") for branch in await db.result(instance)] == [None, 7, 7]


async def test_one_kept_signal_goes_to_the_first_wait_only(db: Database, worker: Worker) -> None:
    instance = await db.start(
        "df.sleep(interval '100 ms') ~> (df.wait_for_signal('go', 1) & df.wait_for_signal('go', 1))"
    )
    await db.rows("select df.signal(%s, 'go', '7')", instance)

    assert await db.wait(instance) == "completed"
    assert [branch["timed_out"] for branch in await db.result(instance)] == [False, True]


async def test_a_wait_times_out_with_a_result_of_its_own(db: Database, worker: Worker) -> None:
    instance = await db.start("df.wait_for_signal('go', 1)")

    assert await db.wait(instance) == "completed"
    assert await db.result(instance) == {"signal_name": "go", "timed_out": True, "data": None}


async def test_a_signal_that_is_rolled_back_was_never_sent(db: Database, worker: Worker) -> None:
    instance = await db.start("df.wait_for_signal('go')")
    await waits(db, instance)

    async with db.session.transaction(force_rollback=True):
        await db.rows("select df.signal(%s, 'go', '1')", instance)
    await db.rows("select df.signal(%s, 'go', '2')", instance)

    assert await received(db, instance) == 2


async def test_an_open_sender_stops_no_other_signal_and_no_cancellation(
    db: Database, worker: Worker
) -> None:
    running = await db.start("'select pg_sleep(0.3)' ~> df.wait_for_signal('go') & 'select 1'")
    cancelled = await db.start("'select pg_sleep(0.3)' ~> df.wait_for_signal('go')")
    sender = await Database.connect(db.conninfo)
    async with sender.session.transaction():
        await sender.rows("select df.signal(id, 'go', '1') from df.instances")

        await db.rows("select df.signal(%s, 'go', '2')", running)
        await db.rows("select df.cancel(%s)", cancelled)

        assert await db.wait(running) == "completed"
        assert await db.status(cancelled) == "cancelled"
    await sender.close()


async def test_a_step_may_signal_its_own_instance(db: Database, worker: Worker) -> None:
    instance = await db.start(
        "'select df.signal(''{sys_instance_id}'', ''go'', ''5'')' ~> df.wait_for_signal('go')"
    )

    assert await received(db, instance) == 5


async def test_a_signal_reaches_a_branch_while_the_other_one_works(
    db: Database, worker: Worker
) -> None:
    instance = await db.start("'select pg_sleep(30)' | df.wait_for_signal('stop')")

    async def registered() -> bool:
        return bool(
            await db.scalar(
                "select count(*) = 1 from df.nodes where node_type = 'SIGNAL'"
                " and status = 'running' and due_at is not null"
            )
        )

    await until(registered)
    await db.rows("select df.signal(%s, 'stop', '9')", instance)

    assert await db.wait(instance, within=5) == "completed"
    assert await received(db, instance) == 9


async def test_each_signal_is_used_once_and_in_order_although_workers_die(db: Database) -> None:
    await db.rows("create table log (id serial, instance text, data int)")
    mine = "instance = ''{sys_instance_id}''"
    body = (
        "(df.wait_for_signal('n') |=> 's')"
        " ~> 'insert into log (instance, data) values (''{sys_instance_id}'', $s.data)'"
        f" ~> ('select count(*) < 50 from log where {mine}' |=> 'more')"
    )
    instances = [await db.start(f"df.loop({body}, 'select $more')") for _ in range(3)]
    process = await WorkerProcess(db.conninfo).start()

    for n in range(60):
        await db.rows("select df.signal(id, 'n', %s) from df.instances", str(n))
        if n % 15 == 14:

            async def some_used(least: int = n) -> bool:
                return bool(await db.scalar("select count(*) > %s from log", least))

            await until(some_used)
            await process.kill()
            process = await WorkerProcess(db.conninfo).start()

    await db.wait_all()
    for instance in instances:
        used = await db.rows("select data from log where instance = %s order by id", instance)
        assert used == [(n,) for n in range(50)]
    await process.stop()


async def test_a_hundred_senders_at_once_lose_nothing(db: Database) -> None:
    await db.rows("create table taken (data int)")
    body = "(df.wait_for_signal('n') |=> 's') ~> ('insert into taken values ($s.data)')"
    async with worker_here(db.conninfo):
        instance = await db.start(f"df.loop({body}, 'select count(*) < 100 from taken')")
        senders = [await Database.connect(db.conninfo) for _ in range(10)]

        for n in range(100):
            await senders[n % 10].rows("select df.signal(%s, 'n', %s)", instance, str(n))

        assert await db.wait(instance) == "completed"
        assert await db.rows("select count(*), count(distinct data) from taken") == [(100, 100)]
        for sender in senders:
            await sender.close()
