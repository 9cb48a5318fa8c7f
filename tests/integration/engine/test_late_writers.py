"""What a worker records too late, though it has claimed the instance anew, changes nothing."""

import json

from support.database import Database

NUMBER = 7  # of a worker that has claimed the instance twice


async def _claim(db: Database) -> None:
    await db.rows("set df.claims = ''")  # how far a slow look before this one got
    await db.rows("select df._claim(%s, 1)", NUMBER)


async def _save(db: Database, instance: str, kind: str, status: str, details: object) -> None:
    """Record the first generation of a node without a statement of the user."""
    node = await db.scalar(
        "select id from df.nodes where instance_id = %s and node_type = %s", instance, kind
    )
    item = {
        "instance": instance,
        "nodes": [node],
        "generations": [1],
        "statuses": [status],
        "results": ["{}"],
        "details": [json.dumps(details)],
    }
    assert await db.rows("select * from df._save(%s, %s)", NUMBER, json.dumps([item])) == []


async def test_a_late_wait_takes_no_signal_from_the_waits_after_it(db: Database) -> None:
    instance = await db.start("df.wait_for_signal('go')")
    await _claim(db)
    await _save(db, instance, "SIGNAL", "completed", {})
    await db.rows("select df.signal(%s, 'go')", instance)
    signal = await db.scalar("select id from df._signals")

    await _save(db, instance, "SIGNAL", "completed", {"signal": signal})

    assert await db.rows("select id from df._signals") == [(signal,)]


async def test_a_late_writer_does_not_lead_a_loop_back(db: Database) -> None:
    instance = await db.start("df.loop(df.sleep(1))")
    await _claim(db)
    await _save(db, instance, "LOOP", "iterated", {"first": 1, "iteration": 3})

    await _save(db, instance, "LOOP", "iterated", {"first": 1, "iteration": 2})

    assert await db.rows("select iteration from df.nodes where node_type = 'LOOP'") == [(3,)]
