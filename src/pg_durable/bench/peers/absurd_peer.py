"""absurd: tasks whose steps are checkpointed by its SDK. A client has one connection, so processes
are what makes it run tasks side by side."""

import psycopg
from absurd_sdk import Absurd
from absurdctl import BUNDLED_SCHEMA_SQL

from pg_durable.bench.peers.shape import STEPS, start_tally, uri

_BATCH = 20


def prepare(dsn: str, shape: str, count: int) -> None:
    """Install its schema, make a queue, and spawn so many tasks."""
    with psycopg.connect(dsn) as session:
        session.execute(BUNDLED_SCHEMA_SQL)
        session.execute("select absurd.create_queue('default')")
        session.execute(
            "select count(*) from generate_series(1, %s) n,"
            " absurd.spawn_task('default', %s, jsonb_build_object('n', n))",
            [count, shape],
        )


def work(dsn: str, shape: str, count: int) -> None:
    """Run tasks, one after the other, claiming several at a time."""
    tally = start_tally()
    session = psycopg.connect(dsn, autocommit=True)
    app = Absurd(uri(dsn))

    def select_one() -> int:
        tally.add_one()
        row = session.execute("select 1 as a").fetchone()
        assert row is not None
        return int(row[0])

    def run_steps(params: object, context: object) -> None:
        for number in range(STEPS[shape]):
            context.step(f"step {number}", select_one)  # type: ignore[attr-defined]

    app.register_task(name=shape)(run_steps)
    app.start_worker(concurrency=1, batch_size=_BATCH, poll_interval=0.01)
