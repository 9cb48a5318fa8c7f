"""The laboratory: a database with `df`, workers as processes of their own, and ways to wait."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Self

import psutil
import psycopg

from pg_durable.bench.counters import Counters, find_postmaster, read_counters
from pg_durable.errors import PgDurableError, WaitTimeout
from pg_durable.settings import Settings

_PATIENCE = 300.0  # seconds
_TO_LEAVE = 30.0
_POLL = 0.05
_PARKED = """
    select not exists (
      select from df.instances
      where submitted_by = quote_ident(current_user)::regrole
        and due_at <= now())
"""
_BUSY = "select exists (select from df.instances where status in ('pending', 'running'))"


class Lab:
    """A database to measure in.

    Args:
        dsn: the database; everything in its `df` schema is thrown away again and again.
        scale: what the numbers of instances are multiplied by.
        full: whether the measures of millions take their millions.
    """

    def __init__(self, dsn: str, *, scale: float = 1.0, full: bool = False) -> None:
        self.dsn = dsn
        self.scale = scale
        self.full = full
        self.sessions = Settings.load(None).max_user_connections
        self.session = psycopg.connect(dsn, autocommit=True, application_name="pg_durable:bench")
        self.postmaster = find_postmaster(self.session)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.session.close()

    def count(self, at_scale_one: float, *, least: int = 10) -> int:
        """How many, at this scale."""
        return max(least, int(at_scale_one * self.scale))

    def seconds(self, at_scale_one: float, *, least: float = 1.0) -> float:
        """How long, at this scale."""
        return max(least, at_scale_one * self.scale)

    def value(self, query: Any, *params: object) -> Any:
        """The only value of a query."""
        row = self.session.execute(query, params or None).fetchone()
        assert row is not None
        return row[0]

    def column(self, query: Any, *params: object) -> list[Any]:
        """The only column of a query."""
        return [row[0] for row in self.session.execute(query, params or None)]

    def reset(self) -> None:
        """Forget all instances, and let the server finish what it has put off."""
        if self.session.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
            self.session.rollback()
        self.session.execute("truncate df.instances, df.nodes, df._signals, df._executions")
        self.session.execute("checkpoint")

    @contextmanager
    def workers(self, number: int = 1, *, dsn: str | None = None) -> Iterator[list[psutil.Process]]:
        """Some workers, ready and idle. They end with the block, or with this process."""
        with ExitStack() as stack:
            started = [stack.enter_context(_worker(dsn or self.dsn)) for _ in range(number)]
            self.wait_for("select count(*) >= %s from df._worker_epoch", number)
            yield [psutil.Process(process.pid) for process in started]
            for process in started:
                if process.poll() is not None:
                    raise PgDurableError(f"A worker ended with exit code {process.returncode}.")
        self.wait_for("select count(*) = 0 from df._worker_epoch", patience=_TO_LEAVE)

    def wait_for(self, condition: Any, *params: object, patience: float = _PATIENCE) -> None:
        """Wait until a query says true.

        Raises:
            WaitTimeout: it does not in time.
        """
        end = time.monotonic() + patience
        while not self.value(condition, *params):
            if time.monotonic() > end:
                raise WaitTimeout(f"Not true after {patience:.0f} s: {condition}")
            time.sleep(_POLL)

    def wait_until_done(self, patience: float = _PATIENCE) -> None:
        """Wait until no instance has anything to do, and all that ended are completed.

        Raises:
            PgDurableError: an instance failed.
        """
        self.wait_for(_BUSY.replace("exists", "not exists"), patience=patience)
        failed = self.column("select output from df.instances where status = 'failed' limit 1")
        if failed:
            raise PgDurableError(f"An instance failed: {failed[0]}")

    def wait_until_parked(self, patience: float = _PATIENCE) -> None:
        """Wait until nothing is due, which is also what workers hold: all sleep, or have ended."""
        self.wait_for(_PARKED, patience=patience)

    def counters(self, workers: list[psutil.Process]) -> Counters:
        """What the server and these workers have spent so far."""
        return read_counters(self.session, self.postmaster, workers)


@contextmanager
def _worker(dsn: str) -> Iterator[subprocess.Popen[bytes]]:
    """A worker that also ends when its standard input does, as it does if we are killed."""
    process = subprocess.Popen(
        [sys.executable, "-m", "pg_durable", "worker", "--quiet", "--until-input-ends"],
        env={**os.environ, "PG_DURABLE_DSN": dsn},
        stdin=subprocess.PIPE,
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        assert process.stdin is not None
        process.stdin.close()
