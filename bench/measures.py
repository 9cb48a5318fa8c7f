"""What is measured of pg_durable itself: each function returns named figures."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import psycopg

from pg_durable.settings import Settings

_CHAIN = 10


class Lab:
    """A database, a session to look at it, and workers as processes of their own."""

    def __init__(self, dsn: str, sessions: int | None) -> None:
        self.dsn = dsn
        self.sessions = sessions or Settings().max_user_connections
        self.session = psycopg.connect(dsn, autocommit=True)

    def value(self, query: str, *params: object) -> Any:
        """The only value of a query."""
        row = self.session.execute(query, params or None).fetchone()
        assert row is not None
        return row[0]

    def reset(self) -> None:
        """Forget all instances; settle what the server still has to do."""
        self.session.execute("truncate df.instances, df.nodes")
        self.session.execute("vacuum df._worker_epoch")
        self.session.execute("checkpoint")

    @contextmanager
    def worker(self) -> Iterator[psutil.Process]:
        """A worker process, ready and idle."""
        command = [sys.executable, "-m", "pg_durable", "worker", self.dsn, "--quiet"]
        environment = {**os.environ, "PG_DURABLE_MAX_USER_CONNECTIONS": str(self.sessions)}
        process = subprocess.Popen(command, env=environment)
        try:
            self.wait("select count(*) > 0 from df._worker_epoch")
            yield psutil.Process(process.pid)
        finally:
            process.terminate()
            process.wait()

    def wait(self, condition: str) -> None:
        """Wait until a query says true."""
        while not self.value(condition):
            time.sleep(0.05)

    def run_all(self, workflow: str, count: int) -> tuple[float, dict[str, float]]:
        """Start `count` workflows, run them; instances a second and what each cost."""
        self.reset()
        self.value(f"select count(df.start({workflow})) from generate_series(1, {count})")
        self.session.execute("vacuum analyze df.instances, df.nodes")
        self.session.execute("checkpoint")
        before = self._counters()
        with self.worker() as process:
            self.wait(
                "select count(*) = 0 from df.instances where status in ('pending', 'running')"
            )
            cpu = sum(process.cpu_times()[:2])
        after = self._counters()
        seconds = float(
            self.value(
                "select extract(epoch from max(completed_at) - min(completed_at)) from df.instances"
            )
        )
        costs = {name: (after[name] - before[name]) / count for name in after}
        costs["cpu_us"] = 1e6 * cpu / count
        return count / seconds, costs

    def _counters(self) -> dict[str, float]:
        self.session.execute("select pg_stat_force_next_flush()")
        self.session.execute("select pg_stat_clear_snapshot()")
        return {
            "wal_bytes": float(
                self.value("select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')")
            ),
            "commits": float(
                self.value(
                    "select xact_commit from pg_stat_database where datname = current_database()"
                )
            ),
        }


def start_rate(lab: Lab, scale: float) -> dict[str, float]:
    """Starts a second from one session: in one transaction, and each in its own."""
    count = int(30_000 * scale)
    lab.reset()
    begun = time.perf_counter()
    lab.value(f"select count(df.start('select 1')) from generate_series(1, {count})")
    bulk = count / (time.perf_counter() - begun)

    count = int(5_000 * scale)
    lab.reset()
    begun = time.perf_counter()
    for _ in range(count):
        lab.session.execute("select df.start('select 1')")
    single = count / (time.perf_counter() - begun)
    return {"bulk_starts_per_s": bulk, "single_starts_per_s": single}


def one_step_throughput(lab: Lab, scale: float) -> dict[str, float]:
    """Instances of one step a second."""
    rate, costs = lab.run_all("'select 1 as a'", int(20_000 * scale))
    return {
        "one_step_instances_per_s": rate,
        "one_step_wal_bytes": costs["wal_bytes"],
        "one_step_commits": costs["commits"],
    }


def step_throughput(lab: Lab, scale: float) -> dict[str, float]:
    """Steps a second in chains of ten, and what a step costs."""
    chain = " ~> ".join(["'select 1 as a'"] * _CHAIN)
    rate, costs = lab.run_all(chain, int(3_000 * scale))
    return {
        "steps_per_s": rate * _CHAIN,
        "wal_bytes_per_step": costs["wal_bytes"] / _CHAIN,
        "commits_per_step": costs["commits"] / _CHAIN,
        "worker_cpu_us_per_step": costs["cpu_us"] / _CHAIN,
    }


def idle_latency(lab: Lab, scale: float) -> dict[str, float]:
    """From df.start to completed, one single step at a time on an idle system, in ms."""
    lab.reset()
    with lab.worker():
        lab.wait("select count(*) > 0 from df._worker_epoch")
        taken = []
        for _ in range(int(300 * scale)):
            time.sleep(0.05)  # back to idle
            instance = lab.value("select df.start('select 1')")
            lab.value("select df.await_instance(%s)", instance)
            taken.append(
                1000
                * float(
                    lab.value(
                        "select extract(epoch from completed_at - created_at) from df.instances"
                        " where id = %s",
                        instance,
                    )
                )
            )
    taken.sort()
    return {
        "idle_step_p50_ms": taken[len(taken) // 2],
        "idle_step_p99_ms": taken[int(len(taken) * 0.99)],
    }


def sleeping_memory(lab: Lab, scale: float) -> dict[str, float]:
    """Memory of a worker before and after it parked many sleeping instances, in MB."""
    count = int(100_000 * scale)
    lab.reset()
    with lab.worker() as process:
        instance = lab.value("select df.start('select 1')")
        lab.value("select df.await_instance(%s)", instance)
        # The first thousands fill the worker's caches; what follows must not add to them.
        _park(lab, int(5_000 * scale))
        before = process.memory_info().rss
        begun = time.perf_counter()
        _park(lab, count)
        seconds = time.perf_counter() - begun
        after = process.memory_info().rss
    return {
        "memory_mb_before_sleepers": before / 1e6,
        "memory_mb_with_sleepers": after / 1e6,
        "parked_per_s": count / seconds,
    }


def _park(lab: Lab, count: int) -> None:
    lab.value(f"select count(df.start(df.sleep(86400))) from generate_series(1, {count})")
    lab.wait(
        "select count(*) = 0 from df.instances where worker is not null or due_at <= now()"
        " and status in ('pending', 'running')"
    )
