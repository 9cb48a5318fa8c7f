"""The invariants of ARCHITECTURE.md that a look at code or rows can hold."""

import re
from pathlib import Path

import pg_durable
from pg_durable.engine.worker import Worker
from support.database import Database
from support.waiting import until

SOURCES = Path(pg_durable.__file__).parent

# Nothing due, nothing claimed by a living worker, nothing awaited.
STUCK = """
    select id from df.instances i
    where status in ('pending', 'running')
      and due_at is null
      and not exists (select from df._worker_epoch e where e.worker = i.worker)
"""


# These tell something and change nothing; doctor asks them.
HARMLESS = {"_sees_all", "_living_workers", "_superuser_instances", "_worker_badge"}


def test_only_the_store_names_the_engines_functions() -> None:
    named = {
        str(path.relative_to(SOURCES))
        for path in SOURCES.rglob("*.py")
        if set(re.findall(r"\bdf\.(_\w+)\(", path.read_text())) - HARMLESS
    }

    assert named == {"store.py"}


async def test_every_definer_function_pins_its_search_path(db: Database) -> None:
    definers = await db.rows(
        "select p.oid::regprocedure::text, p.proconfig from pg_proc p"
        " join pg_namespace n on n.oid = p.pronamespace where n.nspname = 'df' and p.prosecdef"
    )

    assert definers
    assert [
        name for name, config in definers if "search_path=pg_catalog, pg_temp" not in config
    ] == []


async def test_public_may_run_no_engine_function_that_does_not_check_its_caller(
    db: Database,
) -> None:
    open_to_all = await db.rows(
        "select p.proname from pg_proc p join pg_namespace n on n.oid = p.pronamespace"
        " where n.nspname = 'df' and has_function_privilege('public', p.oid, 'execute')"
        " and p.proname in ('_register', '_unregister', '_heartbeat', '_take_over', '_claim',"
        " '_remove_ended', '_remove', '_sweep', '_record', '_save', '_begin_waits',"
        " '_show_running', 'grant_usage', 'revoke_usage')"
    )

    assert open_to_all == []


async def test_no_instance_is_ever_stuck(db: Database, worker: Worker) -> None:
    await db.rows(
        "select df.start('select pg_sleep(0.01)' ~> df.sleep(g % 2) ~> ('select 1' & 'select 1/0'))"
        " from generate_series(0, 199) g"
    )

    async def finished() -> bool:
        assert await db.rows(STUCK) == []
        return not await db.scalar(
            "select count(*) from df.instances where status in ('pending', 'running')"
        )

    await until(finished)
