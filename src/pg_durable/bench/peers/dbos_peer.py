"""dbos: workflows whose steps are transactions of its datasource, committed with their record.

Workflows are started in the process that runs them, which spares dbos its queue.
"""

from concurrent.futures import ThreadPoolExecutor
from threading import Event

from dbos import DBOS, SQLAlchemyDatasource
from sqlalchemy import text

from pg_durable.bench.peers.shape import STEPS, start_tally, uri

_AT_ONCE = 16


def prepare(dsn: str, shape: str, count: int) -> None:
    """Make its tables. The work is started by those who do it."""
    _launch(dsn)
    DBOS.destroy()


def work(dsn: str, shape: str, count: int) -> None:
    """Start so many workflows, some at a time, and wait for each."""
    tally = start_tally()
    datasource = _launch(dsn)
    steps = STEPS[shape]

    def select_one() -> int:
        tally.add_one()
        return int(datasource.sql_session().execute(text("select 1 as a")).scalar_one())

    step = datasource.transaction()(select_one)

    def run_steps() -> None:
        for _ in range(steps):
            step()

    workflow = DBOS.workflow()(run_steps)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(lambda _: workflow(), range(count)))
    Event().wait()


def _launch(dsn: str) -> SQLAlchemyDatasource:
    url = uri(dsn, "postgresql+psycopg")
    DBOS(
        config={
            "name": "bench",
            "system_database_url": url,
            "sys_db_pool_size": _AT_ONCE,
            "max_executor_threads": _AT_ONCE,
            "log_level": "ERROR",
            "use_listen_notify": True,
        }
    )
    datasource = SQLAlchemyDatasource.create(
        url, engine_kwargs={"pool_size": _AT_ONCE, "max_overflow": 0}
    )
    DBOS.launch()
    return datasource
