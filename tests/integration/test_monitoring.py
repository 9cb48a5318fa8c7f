"""What the monitoring functions show of workflows that a worker runs."""

from pg_durable.engine.worker import Worker
from support.database import Database
from support.waiting import until

# A loop that is the root; in it one that iterates twice whenever it is entered, then a signal.
LOOPS = """'{"node_type":"LOOP","result_name":"outer","left_node":{"node_type":"THEN",
  "left_node":{"node_type":"LOOP","result_name":"inner",
    "left_node":{"node_type":"JOIN","result_name":"join",
      "left_node":{"node_type":"SQL","query":"insert into ticks values (1)"},
      "right_node":{"node_type":"SQL","query":"select 1"}},
    "condition_node":{"node_type":"SQL","query":"select mod(count(*), 2) = 1 from ticks"}},
  "right_node":{"node_type":"SIGNAL","result_name":"go",
    "query":"{\\"signal_name\\":\\"go\\",\\"timeout_seconds\\":null}"}}}'"""


async def test_nodes_in_loops_tell_the_iteration_in_which_they_ran(
    db: Database, worker: Worker
) -> None:
    await db.rows("create table ticks (tick int)")
    instance = await db.start(LOOPS)

    async def waits_in(execution: int) -> bool:
        return await db.rows(
            "select current_execution_id, waits_for from df.instance_info(%s)"
            " join df.waiting_for(%s) using (instance_id)",
            instance,
            instance,
        ) == [(execution, "signal go")]

    await until(lambda: waits_in(1))
    await db.rows("select df.signal(%s, 'go')", instance)
    await until(lambda: waits_in(2))

    seen = await db.rows(
        "select coalesce(result_name, query, node_type), inferred_status,"
        " status_details::json ->> 'execution_id', node_id"
        " from df.instance_nodes(%s) where query is distinct from %s",
        instance,
        "select mod(count(*), 2) = 1 from ticks",
    )
    ids = {name: node for name, _, _, node in seen}
    inner = f"{instance}::2::{ids['inner']}::4"
    assert {name: (status, execution) for name, status, execution, _ in seen} == {
        "outer": ("running", f"{instance}::2"),
        "THEN": ("running", f"{instance}::2"),
        "inner": ("completed", inner),
        "join": ("completed", inner),
        "insert into ticks values (1)": (
            "completed",
            f"{inner}::{ids['insert into ticks values (1)']}::1",
        ),
        "select 1": ("completed", f"{inner}::{ids['select 1']}::1"),
        "go": ("running", f"{instance}::2"),
    }
    assert await db.rows(
        "select execution_id, status, event_count from df.instance_executions(%s)", instance
    ) == [(2, "Running", 8), (1, "ContinuedAsNew", 8)]


async def test_a_failure_tells_the_step_and_its_statement(db: Database, worker: Worker) -> None:
    instance = await db.start("'select 1' |=> 'a' ~> ('select 2' & 'select $a / 0')")

    await db.wait(instance)

    failure = (await db.result(instance))["error"]
    assert failure == await db.scalar("select failure from df.instance_info(%s)", instance)
    assert failure["sqlstate"] == "22012"
    assert failure["statement"] == "select 1 / 0"
    assert failure["message"].startswith("JOIN branch 2 failed: ")
    assert (
        await db.scalar(
            "select query from df.nodes where instance_id = %s and id = %s",
            instance,
            failure["node"],
        )
        == "select $a / 0"
    )


async def test_a_signal_comes_with_the_commit_of_its_sender(db: Database, worker: Worker) -> None:
    instance = await db.start("df.wait_for_signal('go')")

    async def waits() -> bool:
        waiting = await db.rows("select waits_for from df.waiting_for(%s)", instance)
        return waiting == [("signal go",)]

    await until(waits)
    sender = await db.connect_as("postgres")
    try:
        await sender.rows("begin")
        await sender.rows("select df.signal(%s, 'go', 'in time')", instance)
        assert await waits()
        await sender.rows("commit")
    finally:
        await sender.close()

    assert await db.wait(instance) == "completed"
    assert (await db.result(instance))["data"] == "in time"
