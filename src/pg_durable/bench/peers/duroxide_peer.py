"""duroxide: orchestrations of activities, on its PostgreSQL provider."""

from collections.abc import Iterator
from threading import Event, local

import psycopg
from duroxide import Client, PostgresProvider, Runtime, RuntimeOptions

from pg_durable.bench.peers.shape import STEPS, start_tally, uri

_SCHEMA = "bench"


def prepare(dsn: str, shape: str, count: int) -> None:
    """Make its tables, and start so many orchestrations."""
    client = Client(PostgresProvider.connect_with_schema(uri(dsn), _SCHEMA))
    for number in range(count):
        client.start_orchestration(f"instance-{number}", shape, None)


def work(dsn: str, shape: str, count: int) -> None:
    """Run orchestrations and activities in one runtime, until the process is killed."""
    tally = start_tally()
    sessions = local()

    def select_one(context: object, given: object) -> int:
        tally.add_one()
        if not hasattr(sessions, "session"):
            sessions.session = psycopg.connect(dsn, autocommit=True)
        row = sessions.session.execute("select 1 as a").fetchone()
        return int(row[0])

    def run_steps(context: object, given: object) -> Iterator[object]:
        for _ in range(STEPS[shape]):
            yield context.schedule_activity("select_one", None)  # type: ignore[attr-defined]

    runtime = Runtime(
        PostgresProvider.connect_with_schema(uri(dsn), _SCHEMA),
        RuntimeOptions(
            orchestration_concurrency=8, worker_concurrency=8, dispatcher_poll_interval_ms=10
        ),
    )
    runtime.register_activity("select_one", select_one)
    runtime.register_orchestration(shape, run_steps)
    runtime.start()
    Event().wait()
