"""At least once, and told so: what a receiver can rely on when a worker dies."""

import asyncio
import random

from integration.http.calling import call
from pg_durable.engine.files import allow_open_files
from pg_durable.engine.worker import Worker
from support.database import Database
from support.http_server import HttpServer, http_server
from support.waiting import until
from support.workers import WorkerProcess, worker_here


async def test_a_request_repeated_after_a_kill_carries_the_same_key(
    db: Database, web: HttpServer
) -> None:
    victim = await WorkerProcess(db.conninfo, http_policy="127.0.0.1").start()
    instance = await db.start(
        f"'select 1' ~> df.http('{web.url('/gate')}', 'POST', 'pay')"
        " |=> 'r' ~> 'select $r.status as status'"
    )

    async def sent() -> bool:
        return web.under_way == 1

    await until(sent)
    await victim.kill()
    await until(lambda: _is(web, under_way=0))
    async with worker_here(db.conninfo, http_policy="127.0.0.1"):
        await until(sent)
        web.gate.set()
        rows = await db.completed_rows(instance)

    assert rows == [{"status": 200}]
    first, second = web.received
    assert first.headers["Idempotency-Key"] == second.headers["Idempotency-Key"]
    assert (first.body, second.body) == (b"pay", b"pay")


async def _is(web: HttpServer, under_way: int) -> bool:
    return web.under_way == under_way


async def test_a_request_that_ends_while_its_worker_stops_is_not_sent_again(
    db: Database, web: HttpServer
) -> None:
    async with worker_here(db.conninfo, http_policy="127.0.0.1") as stopping:
        instance = await db.start(
            f"df.http('{web.url('/gate')}', 'POST', 'pay') |=> 'r' ~> 'select $r.status as status'"
        )
        await until(lambda: _is(web, under_way=1))
        stopping.stop()
        web.gate.set()
    async with worker_here(db.conninfo, http_policy="127.0.0.1"):
        rows = await db.completed_rows(instance)

    assert rows == [{"status": 200}]
    assert len(web.received) == 1


async def test_a_request_whose_outcome_is_recorded_is_never_sent_again(
    db: Database, web: HttpServer
) -> None:
    victim = await WorkerProcess(db.conninfo, http_policy="127.0.0.1").start()
    instance = await db.start(
        f"df.http('{web.url('/echo')}', 'POST', 'pay') ~> 'select pg_sleep(3600)' ~> 'select 1'"
    )

    async def sleeping() -> bool:
        return bool(await db.active("select pg_sleep(3600)"))

    await until(sleeping)
    await victim.kill()
    await db.rows(
        "select pg_terminate_backend(pid, 5000) from pg_stat_activity"
        " where query like '%pg_sleep(3600)%' and pid <> pg_backend_pid()"
    )
    async with worker_here(db.conninfo, http_policy="127.0.0.1"):
        await until(sleeping)
        await db.rows("select df.cancel(%s)", instance)

    assert len(web.received) == 1


async def test_a_worker_killed_again_and_again_loses_no_request_and_invents_no_key(
    db: Database, web: HttpServer
) -> None:
    random.seed(4714)
    step = f"df.http('{web.url('/echo')}', 'POST', '{{sys_instance_id}} <n>')"
    chain = " ~> ".join(step.replace("<n>", str(n)) for n in range(3))
    for _ in range(6):
        await db.rows(f"select df.start({chain}) from generate_series(1, 20)")
        victim = await WorkerProcess(db.conninfo, http_policy="127.0.0.1").start()
        sent = len(web.received)

        async def at_work(sent: int = sent) -> bool:
            return len(web.received) > sent

        await until(at_work)
        await asyncio.sleep(random.random() * 0.2)  # the random instant of the kill
        await victim.kill()
    async with worker_here(db.conninfo, http_policy="127.0.0.1"):
        await db.wait_all()

    bodies: dict[str, set[bytes]] = {}
    for request in web.received:
        bodies.setdefault(request.headers["Idempotency-Key"], set()).add(request.body)
    assert await db.rows("select distinct status from df.instances") == [("completed",)]
    assert len(bodies) == 6 * 20 * 3
    assert all(len(of_one_key) == 1 for of_one_key in bodies.values())


async def test_each_iteration_and_each_step_has_a_key_of_its_own(
    db: Database, caller: Worker, web: HttpServer
) -> None:
    await call(
        db,
        "'select 0 as n' |=> 'i' ~> df.loop('select $i + 1 as n' |=> 'i'"
        f" ~> df.http('{web.url('/echo')}') ~> df.http('{web.url('/echo')}'),"
        " 'select $i < 3')",
    )

    keys = [request.headers["Idempotency-Key"] for request in web.received]
    assert len(keys) == len(set(keys)) == 6


async def test_a_key_of_the_users_own_is_sent_instead_and_none_if_it_is_not_wanted(
    db: Database, caller: Worker, web: HttpServer
) -> None:
    url = web.url("/echo")
    await call(
        db, f"""df.http('{url}', headers => '{{"idempotency-KEY": "{{sys_instance_id}}"}}')"""
    )
    await call(db, f"df.http_options(df.http('{url}'), idempotency_key => false)")

    own, none = web.received
    assert own.headers.getall("Idempotency-Key") == [
        await db.scalar("select id from df.instances order by created_at limit 1")
    ]
    assert "Idempotency-Key" not in none.headers


async def test_the_outcome_says_how_it_was_delivered(
    db: Database, caller: Worker, web: HttpServer
) -> None:
    await call(db, f"df.http('{web.url('/echo')}') ~> 'select 1'")

    assert await db.scalar(
        "select status_details ->> 'delivery' from df.nodes where node_type = 'HTTP'"
    ) == "at least once"  # fmt: skip


async def test_a_slow_request_is_shown_as_running(
    db: Database, caller: Worker, web: HttpServer
) -> None:
    instance = await db.start(f"'select 1' ~> df.http('{web.url('/gate')}')")

    async def shown() -> bool:
        return bool(
            await db.scalar(
                "select count(*) from df.instance_nodes(%s)"
                " where node_type = 'HTTP' and inferred_status = 'running'",
                instance,
            )
        )

    await until(shown)
    web.gate.set()
    assert await db.wait(instance) == "completed"


async def test_a_thousand_requests_are_under_way_at_the_same_time_on_one_worker(
    db: Database, web: HttpServer
) -> None:
    allow_open_files()  # both ends of a thousand connections are in this process
    async with worker_here(db.conninfo, http_policy="127.0.0.1"):
        await db.rows(
            f"select df.start(df.http('{web.url('/gate')}', 'GET', timeout_seconds => 300))"
            " from generate_series(1, 1000)"
        )

        async def all_there() -> bool:
            return web.under_way == 1000

        await until(all_there, within=80)
        # Nobody else has to wait meanwhile: neither SQL steps nor starts.
        result = await call(db, "'select 1 as v' ~> 'select 2 as v'")
        web.gate.set()
        await db.wait_all(within=60)

    assert result["rows"] == [{"v": 2}]
    assert await db.scalar("select count(*) from df.instances where status = 'completed'") == 1001


async def test_a_stalled_server_does_not_slow_sql_steps(db: Database, web: HttpServer) -> None:
    async with worker_here(db.conninfo, http_policy="127.0.0.1", max_user_connections=2):
        await db.rows(
            f"select df.start(df.http('{web.url('/gate')}', 'GET', timeout_seconds => 300))"
            " from generate_series(1, 200)"
        )
        await db.rows("select df.start('select 1' ~> 'select 2') from generate_series(1, 200)")

        async def all_sql_done() -> bool:
            done = await db.scalar("select count(*) from df.instances where status = 'completed'")
            return bool(done == 200)

        await until(all_sql_done)

        assert not any(request.target != "/gate" for request in web.received)
        web.gate.set()
        await db.wait_all()


async def test_the_limits_of_concurrent_requests_hold(db: Database, user: Database) -> None:
    await db.rows("select df.grant_usage('spec_user', include_http => true)")
    async with (
        http_server() as web,
        worker_here(
            db.conninfo, http_policy="127.0.0.1", http_max_concurrent=5, http_max_per_role=3
        ),
    ):
        for name, session in (("one", db), ("other", user)):
            url = web.url(f"/gate/{name}")
            await session.rows(
                f"select df.start(df.http('{url}', 'GET', timeout_seconds => 300))"
                " from generate_series(1, 10)"
            )

        async def full() -> bool:
            return web.under_way == 5

        await until(full)
        await asyncio.sleep(0.3)  # more would come now, if they could
        most = web.most_under_way
        first = [request.path for request in web.received]
        web.gate.set()
        await db.wait_all()

    assert most == len(first) == 5
    assert max(first.count("/gate/one"), first.count("/gate/other")) == 3
    assert len(web.received) == 20
