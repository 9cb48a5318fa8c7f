"""Users may execute df._checkpoint, or no step could be recorded: what can be done with it by hand.

It only touches instances of the role that logged in. Whatever somebody writes about an instance of
theirs, the worker must survive reading it.
"""

import psycopg
import pytest

from attacks.conftest import Victim
from support.database import TERMINAL, Database
from support.waiting import until

CHECKPOINT = (
    "select df._checkpoint(%s, %s, array[%s], array[%s]::int[], array[%s], array[%s], array[%s],"
    " {}, null)"
)
GRAPH = (
    "($$select pg_sleep(600)$$ |=> 'slow')"
    " & df.loop('select 1 as a' |=> 'a' ~> df.if('select $a', 'select 2', df.sleep(1))"
    "           ~> df.wait_for_signal('never', 3600))"
    " & (df.sleep(3600) | 'select pg_sleep(601)')"
)
DEEP = "[" * 3000 + "]" * 3000
NOT_FOR_USERS = [
    "df._claim(1, 100)",
    "df._register('mine')",
    "df._unregister(1)",
    "df._heartbeat(1)",
    "df._take_over(99, 0)",
    "df._claimed()",
    "df._free(array['{i}'])",
    "df._save(1, '[]')",
    "df._record('{i}', array['{n}'], array[1], array['completed'], array['1'], array['{{}}'])",
    "df._record_more('{i}', '{n}', '{{\"signal\": 1}}')",
    "df._iterate('{i}', '{n}', 1, '{{}}', '{{\"iteration\": 5}}')",
    "df._results('{i}')",
    "df._lost(1, '[]')",
    "df._sweep()",
    "df._waits('{i}')",
    "df._pending_signals('{i}', '[]', '[]')",
    "df._begin_waits('{i}', '[]')",
    "df._show_running('{i}', array['{n}'], array[1])",
    "df._take_launch_slot()",
    "df._start_over_dblink('public', 'attack_victim', 'select 1')",
    "df._open_loopback('public', 'x', 'attack_victim')",
    "df._start_instance()",
    "df._start_elsewhere()",
    "df._cancel_instance()",
    "df._send_signal()",
    "df._unset_variables()",
    "df.metrics()",
    "df.grant_usage('public')",
    "df.revoke_usage('attack_victim')",
]


@pytest.mark.parametrize("outcome", ["null", "'completed'", "'failed'"])
async def test_a_checkpoint_of_anothers_instance_is_refused_whatever_worker_is_guessed(
    victim: Victim, attacker: Database, outcome: str
) -> None:
    for number in (None, 0, victim.worker, 2, -1, 9223372036854775807):
        with pytest.raises(psycopg.Error, match="the claim on this instance is gone"):
            await attacker.rows(
                CHECKPOINT.format(outcome),
                *(victim.waiting, number, victim.node, 1, "completed", '{"data": 1}', None),
            )

    await victim.is_unharmed()


async def test_a_quick_checkpoint_of_anothers_instance_is_refused_as_well(
    victim: Victim, attacker: Database
) -> None:
    for nodes in ([victim.node], [victim.node] * 5, [None], []):
        for ends in (False, True, None):
            with pytest.raises(psycopg.Error, match="the claim on this instance is gone"):
                await attacker.rows(
                    "select df._checkpoint_alike(%s, %s, %s, 1, '1', %s)",
                    *(victim.waiting, victim.worker, nodes, ends),
                )

    await victim.is_unharmed()


@pytest.mark.parametrize("ends", [False, True, None])
@pytest.mark.parametrize("worker", [None, 0, 2147483647])
async def test_a_quick_checkpoint_of_ones_own_needs_the_claim(
    attacker: Database, worker: int | None, ends: bool | None
) -> None:
    mine = await attacker.start("df.sleep(3600)")
    node = await _node(attacker, mine, "SLEEP")

    with pytest.raises(psycopg.Error, match="the claim on this instance is gone"):
        await attacker.rows(
            "select df._checkpoint_alike(%s, %s, %s, 1, '1', %s)", mine, worker, [node], ends
        )


@pytest.mark.parametrize("details", ['{"signal": 1}', '{"iteration": 7, "first": 7}'])
async def test_the_details_of_a_checkpoint_reach_nothing_of_anothers(
    victim: Victim, attacker: Database, details: str
) -> None:
    await victim.session.rows("select df.signal(%s, 'later', '\"kept\"')", victim.waiting)
    mine, number = await _claimed(attacker)
    node = await _node(attacker, mine, "SQL")

    await attacker.rows(CHECKPOINT.format("null"), mine, number, node, 1, "completed", "1", details)

    assert await victim.db.rows("select name from df._signals") == [("later",)]
    await victim.is_unharmed()


async def test_a_node_of_anothers_instance_cannot_be_named_with_an_instance_of_ones_own(
    victim: Victim, attacker: Database
) -> None:
    mine, number = await _claimed(attacker)

    with pytest.raises(psycopg.Error, match="the claim on this instance is gone"):
        await attacker.rows(
            CHECKPOINT.format("null"), mine, number, victim.node, 1, "completed", "1", None
        )

    await victim.is_unharmed()


@pytest.mark.parametrize("definer", [True, False], ids=["through the victim", "set role"])
async def test_a_checkpoint_is_for_the_role_that_logged_in(
    victim: Victim, attacker: Database, definer: bool
) -> None:
    await victim.db.rows(
        "create function attic.lent(i text, w bigint, n text) returns void language sql"
        f" {'security definer' if definer else ''}"
        " begin atomic select df._checkpoint(i, w, array[n], array[1], array['completed'],"
        " array['1'], array[null], null, null); end"
    )
    await victim.db.rows("alter function attic.lent owner to attack_victim")
    if not definer:
        await victim.db.rows("grant attack_victim to attack_attacker")
        await attacker.rows("set role attack_victim")

    with pytest.raises(psycopg.Error, match="the claim on this instance is gone"):
        await attacker.rows("select attic.lent(%s, 1, %s)", victim.waiting, victim.node)

    await victim.db.rows("revoke attack_victim from attack_attacker")
    await victim.is_unharmed()


@pytest.mark.parametrize(
    ("kind", "generation", "status", "result", "details"),
    [
        ("LOOP", 1, "iterated", "5", '{"iteration": 2147483647, "first": 1}'),
        ("LOOP", 1, "iterated", '{"results": 5}', '{"iteration": 2, "first": 1}'),
        ("LOOP", 1, "iterated", '{"results": {"a": {}}}', '{"iteration": 2, "first": -3}'),
        ("LOOP", 1, "iterated", "null", '{"iteration": 2, "first": 1, "until": "-infinity"}'),
        ("LOOP", 1, "iterated", "{}", '{"iteration": 2, "first": 1, "until": "infinity"}'),
        ("LOOP", 1, "iterated", "{}", '{"iteration": -2147483648, "first": 1, "root": 1}'),
        ("LOOP", 2147483647, "iterated", "{}", '{"iteration": 2, "first": 1}'),
        ("LOOP", 1, "completed", "[]", "[1, 2, 3]"),
        ("LOOP", 1, "stopped", None, None),
        ("LOOP", 1, "failed", '{"not": "a text"}', '{"sqlstate": 5, "node": []}'),
        ("SQL", 1, "completed", '"not rows"', None),
        ("SQL", 1, "completed", '{"rows": [5, null]}', '"text"'),
        ("SQL", 1, "completed", '{"rows": [{"a": 1e999999}]}', '{"a": 1e999}'),
        ("SQL", 1, "completed", '{"rows": [{"a": "\\ud800\\u0000"}]}', None),
        ("SQL", 1, "completed", DEEP, None),
        ("SQL", 1, "completed", None, None),
        ("SQL", 2147483647, "completed", "1", '{"iteration": 2147483647, "first": 0}'),
        ("SQL", -1, "completed", "1", None),
        ("IF", 1, "completed", "1", None),
        ("JOIN", 1, "completed", "1", None),
        ("RACE", 1, "stopped", None, None),
        ("RACE", 1, "failed", "5", None),
        ("SLEEP", 1, "completed", "[]", None),
        ("SIGNAL", 1, "completed", "{}", None),
    ],
)
async def test_a_worker_survives_whatever_somebody_writes_about_an_instance_of_theirs(
    victim: Victim,
    attacker: Database,
    kind: str,
    generation: int,
    status: str,
    result: str | None,
    details: str | None,
) -> None:
    mine, number = await _claimed(attacker)
    node = await _node(attacker, mine, kind)

    try:
        await attacker.rows(
            CHECKPOINT.format("null"), mine, number, node, generation, status, result, details
        )
    except psycopg.Error as refused:
        assert (refused.sqlstate or "")[:2] in ("WF", "22", "54")  # noqa: PT017
    await _walk_again(attacker, mine)

    await victim.is_unharmed()
    await attacker.rows("select df.cancel(%s)", mine)
    assert await attacker.status(mine) in TERMINAL
    fresh = await attacker.start("'select 2 as v'")
    assert await attacker.completed_rows(fresh) == [{"v": 2}]
    await victim.db.rows("select * from df.list_instances(), df.metrics()")
    await victim.db.rows("select * from df.waiting_for()")
    await victim.db.rows("select df.explain(%s)", mine)
    await victim.db.rows("select * from df.instance_nodes(%s)", mine)


async def test_what_belongs_to_workers_and_administrators_cannot_be_called(
    victim: Victim, attacker: Database
) -> None:
    for call in NOT_FOR_USERS:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await attacker.rows(f"select {call.format(i=victim.waiting, n=victim.node)}")

    await victim.is_unharmed()


async def _claimed(attacker: Database) -> tuple[str, int]:
    """An instance of the attacker's that a worker holds, with all that it waits for under way."""
    instance = await attacker.start(GRAPH)

    async def under_way() -> object:
        return await attacker.scalar(
            "select count(*) = 3 from df.nodes where instance_id = %s and status = 'running'"
            " and (query like '%%pg_sleep%%' or node_type = 'SIGNAL')",
            instance,
        )

    await until(under_way)
    worker = await attacker.scalar("select worker from df.instances where id = %s", instance)
    return instance, worker


async def _node(attacker: Database, instance: str, kind: str) -> str:
    """The slow step, or the first node of another kind."""
    node = await attacker.scalar(
        "select id from df.nodes where instance_id = %s and node_type = %s"
        " order by query is distinct from 'select pg_sleep(600)', left_node limit 1",
        instance,
        kind,
    )
    return str(node)


async def _walk_again(attacker: Database, instance: str) -> None:
    """End the attacker's steps, so that a worker reads the rows; wait until it has."""
    await attacker.rows(
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where usename = current_user and application_name like '%%workflow-sql'"
    )

    async def read() -> object:
        return await attacker.scalar(
            "select attempts > 0 and worker is not null or status in ('completed', 'failed')"
            " or worker is null and due_at > clock_timestamp() + interval '1 s'"
            " from df.instances where id = %s",
            instance,
        )

    await until(read)
