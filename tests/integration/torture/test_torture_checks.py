"""The checks of the torture harness see what they are there to see: each is shown its violation."""

import random

import psycopg
import pytest
from psycopg.types.json import Jsonb

from pg_durable.torture.checks import check_database, unfinished
from pg_durable.torture.leaks import find_left
from pg_durable.torture.ledger import make_tables
from pg_durable.torture.workload import KINDS, SIGNAL, Workflow, draw_workflows
from support.database import Database
from support.waiting import until
from support.workers import worker_here


def _one_of_each_kind() -> list[Workflow]:
    drawn = draw_workflows(random.Random(1), count=300, seconds=1, roles=["postgres"])
    return list({workflow.kind: workflow for workflow in drawn}.values())


async def _start(db: Database, workflow: Workflow) -> str:
    expected = Jsonb(dict(workflow.expected()))
    async with db.session.transaction():
        instance = await db.start(workflow.sql)
        await db.rows(
            "insert into torture.starts (tag, instance, kind, expected) values (%s, %s, %s, %s)",
            *(workflow.tag, instance, workflow.kind, expected),
        )
    return instance


@pytest.fixture
async def ended(db: Database) -> Database:
    """A database in which a workflow of each kind has run, and no worker is left."""
    await make_tables(db.session, roles=[])
    async with worker_here(db.conninfo):
        for workflow in _one_of_each_kind():
            instance = await _start(db, workflow)
            for number, _ in enumerate(workflow.signals, 1):
                await db.rows(
                    "select df.signal(%s, %s, %s)", instance, SIGNAL, f'{{"n": {number}}}'
                )
        await db.wait_all()
    return db


async def _found(db: Database) -> set[str]:
    return {violation.check for violation in await check_database(db.session)}


async def test_every_kind_of_workflow_is_drawn_and_passes_when_nothing_is_wrong(
    ended: Database,
) -> None:
    assert {workflow.kind for workflow in _one_of_each_kind()} == set(KINDS)
    assert await check_database(ended.session) == []
    assert await unfinished(ended.session) == []

    async def nothing_left() -> bool:
        return not await find_left(ended.session)

    await until(nothing_left)  # the sessions of the worker are just ending


@pytest.mark.parametrize(
    ("wrong", "check"),
    [
        ("insert into torture.ledger select * from torture.ledger where step = 's0'", "doubled"),
        ("insert into torture.ledger select * from torture.ledger where step = 'body-1'",
         "doubled"),
        ("insert into torture.ledger (tag, step)"
         " select s.tag, e.step from torture.starts s,"
         " jsonb_array_elements(s.expected -> 'either') g,"
         " jsonb_array_elements_text(g) e (step) where s.kind = 'race'"
         " except select tag, step from torture.ledger", "race"),
        ("delete from torture.ledger where step = 'after'", "missing"),
        ("delete from torture.ledger where step like 'got-%%'", "missing"),
        ("delete from torture.ledger where step = 's0'", "torn"),
        ("delete from torture.ledger where step = 'alone'", "missing"),
        ("insert into torture.ledger values ('nobody', 's0')", "unexpected"),
        ("insert into torture.ledger select tag, 'other' from torture.starts", "unexpected"),
        ("update torture.ledger set step = 'got-1-2' where step = 'got-1-1'", "unexpected"),
        ("update df.nodes set iteration = iteration + 1 where (instance_id, id) in"
         " (select id, root_node from df.instances) and node_type = 'LOOP'", "doubled"),
        ("delete from df.instances where id = (select id from df.instances limit 1)", "lost"),
        ("delete from torture.starts where kind = 'if'", "ghost"),
        ("update df.instances set status = 'running', completed_at = null", "unfinished"),
        ("update df.instances set status = 'cancelled' where status = 'completed'", "outcome"),
        ("update df.instances set status = 'failed' where status = 'completed'", "failed"),
        ("update df.instances set due_at = now() where status = 'completed'", "state"),
        ("update df.instances set completed_at = created_at - interval '1 s'", "clock"),
        ("update df.instances set completed_at = created_at", "node clock"),
        ("update df.nodes set updated_at = created_at where node_type = 'THEN'", "order"),
        ("update df.nodes set generation = generation + 50", "generation"),
        ("insert into df._signals (instance_id, name, data)"
         " select id, 'go', '{}' from df.instances", "signal left"),
        ("delete from df.instances where id = (select id from df.instances limit 1)", "orphan row"),
    ],
)  # fmt: skip
async def test_what_is_wrong_is_found(ended: Database, wrong: str, check: str) -> None:
    await ended.rows(wrong.replace("%%", "%"))

    assert check in await _found(ended)


async def test_a_failure_that_a_fault_explains_is_none(db: Database) -> None:
    await make_tables(db.session, roles=[])
    workflow = Workflow(
        tag="w", kind="chain", role="postgres", at=0, sql="'select 1/0'", steps=["s0"]
    )
    instance = await _start(db, workflow)
    async with worker_here(db.conninfo):
        await db.wait(instance)

    assert await _found(db) == {"failed"}
    assert await check_database(db.session, excused={"22012"}) == []


async def test_what_has_been_accepted_and_does_not_run_is_found(db: Database) -> None:
    await make_tables(db.session, roles=[])
    await _start(db, Workflow(tag="w", kind="chain", role="postgres", at=0, sql="'select 1'"))

    (stuck,) = await unfinished(db.session)

    assert stuck.subject.startswith("w (chain, ")
    assert "pending" in stuck.detail


@pytest.mark.parametrize(
    ("leaving", "check"),
    [
        ("select 1", "leaked session"),
        ("begin; lock table torture.ledger", "leaked lock"),
        ("select pg_advisory_lock(1)", "leaked advisory lock"),
        ("create temporary table left_over ()", "leaked temporary table"),
        ("insert into df._worker_epoch (name) values ('gone')", "leaked worker row"),
    ],
)
async def test_what_is_left_is_found(db: Database, leaving: str, check: str) -> None:
    await make_tables(db.session, roles=[])
    async with await psycopg.AsyncConnection.connect(db.conninfo, autocommit=True) as other:
        await other.execute(leaving)

        assert check in {violation.check for violation in await find_left(db.session)}
        await other.execute("rollback")
