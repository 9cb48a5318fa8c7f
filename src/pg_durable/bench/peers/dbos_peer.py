"""dbos: workflows of steps, started in the process that runs them, which spares dbos its queue.

A step does its statement in a session of its own, and dbos records it afterwards: at least once.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event

from dbos import DBOS
from psycopg_pool import ConnectionPool

from pg_durable.bench.peers.shape import STEPS, start_tally, uri

AT_ONCE = 16


def prepare(dsn: str, shape: str, count: int) -> None:
    """Make its tables. The work is started by those who do it."""
    launch(dsn)
    DBOS.destroy()


def work(dsn: str, shape: str, count: int) -> None:
    """Run so many workflows, some at a time."""
    tally = start_tally()
    launch(dsn)
    sessions = ConnectionPool(
        dsn, min_size=AT_ONCE, max_size=AT_ONCE, kwargs={"autocommit": True}, open=True
    )

    def select_one() -> int:
        tally.add_one()
        with sessions.connection() as session:
            row = session.execute("select 1 as a").fetchone()
        assert row is not None
        return int(row[0])

    run_workflows(DBOS.step()(select_one), STEPS[shape], count)


def launch(dsn: str) -> None:
    """Start dbos in this process."""
    DBOS(
        config={
            "name": "bench",
            "system_database_url": uri(dsn, "postgresql+psycopg"),
            "sys_db_pool_size": AT_ONCE,
            "max_executor_threads": AT_ONCE,
            "log_level": "ERROR",
        }
    )
    DBOS.launch()


def run_workflows(step: Callable[[], int], steps: int, count: int) -> None:
    """Run so many workflows of so many steps, some at a time, and wait to be killed."""

    def run_steps() -> None:
        for _ in range(steps):
            step()

    workflow = DBOS.workflow()(run_steps)
    with ThreadPoolExecutor(AT_ONCE) as threads:
        list(threads.map(lambda _: workflow(), range(count)))
    Event().wait()
