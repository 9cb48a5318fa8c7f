"""dbos with its datasource, which commits what a step does with its record: exactly once."""

from dbos import DBOS, SQLAlchemyDatasource
from sqlalchemy import text

from pg_durable.bench.peers.dbos_peer import AT_ONCE, launch, run_workflows
from pg_durable.bench.peers.shape import STEPS, start_tally, uri


def prepare(dsn: str, shape: str, count: int) -> None:
    """Make its tables and those of its datasource."""
    _datasource(dsn)
    launch(dsn)
    DBOS.destroy()


def work(dsn: str, shape: str, count: int) -> None:
    """Run so many workflows, some at a time."""
    tally = start_tally()
    datasource = _datasource(dsn)
    launch(dsn)

    def select_one() -> int:
        tally.add_one()
        return int(datasource.sql_session().execute(text("select 1 as a")).scalar_one())

    run_workflows(datasource.transaction()(select_one), STEPS[shape], count)


def _datasource(dsn: str) -> SQLAlchemyDatasource:
    return SQLAlchemyDatasource.create(
        uri(dsn, "postgresql+psycopg"), engine_kwargs={"pool_size": AT_ONCE, "max_overflow": 0}
    )
