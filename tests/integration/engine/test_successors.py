"""The last commit of an instance takes the first statement of another one along, in its session:
whatever becomes of the one, the other is none the worse."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from pg_durable.engine.worker import Worker
from pg_durable.lanes.lane import Lane
from pg_durable.lanes.slots import Waiter
from support.database import Database
from support.workers import worker_here

_HELD = "select pg_sleep(0.3)"


@pytest.fixture
async def one_lane(db: Database) -> AsyncIterator[Worker]:
    """A worker with one session for steps, so that all but one instance wait for it."""
    async with worker_here(db.conninfo, max_user_connections=1) as worker:
        yield worker


@pytest.fixture
def handed_over(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The statements that came along with a commit of another instance."""
    statements = []
    take = Waiter.take

    def noting(waiter: Waiter, lane: Lane, begun: object) -> None:
        assert waiter.statement is not None
        statements.append(waiter.statement.text)
        take(waiter, lane, begun)  # type: ignore[arg-type]

    monkeypatch.setattr(Waiter, "take", noting)
    return statements


async def _start(db: Database, *steps: str) -> list[str]:
    """Instances of these steps, in this order, behind one that holds the session for a moment."""
    ids = await db.rows(
        "select df.start(s) from unnest(%s::text[]) with ordinality u (s, n) order by n",
        [_HELD, *steps],
    )
    return [id_ for (id_,) in ids][1:]


async def test_instances_follow_each_other_in_one_session(
    db: Database, one_lane: Worker, handed_over: list[str]
) -> None:
    await db.rows("create table t (n int)")

    instances = await _start(db, *(f"insert into t values ({n})" for n in range(50)))

    assert {await db.wait(instance) for instance in instances} == {"completed"}
    assert await db.scalar("select array_agg(n order by n) from t") == list(range(50))
    assert len(handed_over) > 25  # not after the last of each claim


@pytest.mark.parametrize(
    ("fails", "sqlstate"),
    [
        ("insert into late values (1)", "23503"),
        ("deallocate all", None),
        ("discard all", None),
        ("select pg_cancel_backend(pg_backend_pid())", "57014"),
    ],
)
async def test_a_commit_that_fails_takes_down_nobody_else(
    db: Database, one_lane: Worker, handed_over: list[str], fails: str, sqlstate: str | None
) -> None:
    await db.rows("create table t (n int); create table parents (id int primary key)")
    await db.rows("create table late (p int references parents deferrable initially deferred)")

    before, failing, after, last = await _start(
        db,
        "insert into t values (1)",
        fails,
        "insert into t values (2)",
        "insert into t values (3)",
    )

    assert await db.wait(failing) == ("failed" if sqlstate else "completed")
    for instance in (before, after, last):
        assert await db.wait(instance) == "completed"
    assert await db.scalar("select array_agg(n order by n) from t") == [1, 2, 3]
    assert "insert into t values (1)" in handed_over
    if sqlstate is not None:
        assert (await db.result(failing))["error"]["sqlstate"] == sqlstate


async def test_an_instance_that_has_ended_is_completed_while_its_successor_takes_long(
    db: Database, one_lane: Worker, handed_over: list[str]
) -> None:
    first, slow = await _start(db, "select 1", "select pg_sleep(60)")

    assert await db.wait(first) == "completed"
    assert await db.wait(slow, ["running"]) == "running"
    assert "select pg_sleep(60)" in handed_over
    await db.rows("select df.cancel(%s)", slow)
    assert await db.wait(slow) == "cancelled"


async def test_a_successor_that_ends_the_session_leaves_the_commit_before_it_alone(
    db: Database, one_lane: Worker, handed_over: list[str]
) -> None:
    await db.rows("create table t (n int)")
    ends = "copy t from stdin"

    first, ending, after = await _start(
        db, "insert into t values (1)", ends, "insert into t values (2)"
    )

    assert await db.wait(first) == "completed"
    assert await db.wait(ending) == "failed"
    assert await db.wait(after) == "completed"
    assert await db.scalar("select array_agg(n order by n) from t") == [1, 2]
    assert ends in handed_over


async def test_a_session_killed_with_a_commit_and_a_successor_in_it_loses_and_doubles_nothing(
    db: Database, one_lane: Worker
) -> None:
    await db.rows("create table t (n int)")
    steps = [f"insert into t select {n} from pg_sleep(0.01)" for n in range(60)]

    instances = await _start(db, *steps)
    while await db.scalar("select count(*) < 60 from t"):
        await db.rows(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where application_name = 'pg_durable:worker:workflow-sql'"
        )
        await asyncio.sleep(0.15)

    assert {await db.wait(instance) for instance in instances} == {"completed"}
    assert await db.scalar("select array_agg(n order by n) from t") == list(range(60))


async def test_a_role_that_reads_only_by_default_is_served_as_ever(
    db: Database, handed_over: list[str]
) -> None:
    await db.rows("create role spec_reader login; select df.grant_usage('spec_reader')")
    await db.rows("alter role spec_reader set default_transaction_read_only = on")
    reader = await Database.connect(f"{db.conninfo} user=spec_reader")
    try:
        await reader.rows("set default_transaction_read_only = off")
        async with worker_here(db.conninfo, max_user_connections=1):
            instances = await _start(reader, *["select 1"] * 5)

            for instance in instances:
                assert await reader.wait(instance) == "completed"
        assert handed_over == []
        assert await db.scalar("select max(attempts) from df.instances") == 0
    finally:
        await reader.close()
        await db.rows("drop owned by spec_reader")
        await db.rows("drop role spec_reader")
