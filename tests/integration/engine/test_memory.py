"""What an instance takes of a worker's memory is free once it has ended."""

import gc
from collections.abc import Iterator

import pytest

from pg_durable.engine.run import Run
from pg_durable.engine.worker import Worker
from support.database import Database
from support.waiting import until


@pytest.fixture
def uncollected() -> Iterator[None]:
    """No garbage collector: only what nothing refers to is freed."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize(
    "workflow",
    [
        "'select 1 as a' |=> 'x' ~> 'select $x'",
        "'select 1/0'",
        "df.join('select 1', 'select 2', 'select 1/0')",
        "df.race('select 1', df.sleep(60))",
        "df.if('select true', 'select 2', 'select 3')",
        "df.loop(df.sleep(0) ~> 'select 1', 'select false')",
        "df.wait_for_signal('go', 1)",
    ],
)
async def test_a_run_that_is_over_is_freed_without_the_garbage_collector(
    db: Database, worker: Worker, uncollected: None, workflow: str
) -> None:
    instance = await db.start(workflow)
    await db.wait(instance)

    async def freed() -> bool:
        return not any(isinstance(thing, Run) for thing in gc.get_objects())

    await until(freed)
