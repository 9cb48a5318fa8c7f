"""One look: at the database with a session of its own, and at the processes of both sides."""

import os
import time
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, LiteralString

import psutil
import psycopg

from pg_durable.soak.mix import KINDS

_MEGABYTE = 1e6

# Heaps with their maps, and indexes, of everything in df.
_SIZES = """
    select c.relname, case c.relkind when 'i' then 'index' else 'table' end,
           pg_total_relation_size(c.oid)
             - case c.relkind when 'r' then pg_indexes_size(c.oid) else 0 end
    from pg_class c
    where c.relnamespace = 'df'::regnamespace
      and c.relkind in ('r', 'i')
"""
_ROWS = """
    select coalesce(sum(n_live_tup), 0), coalesce(sum(n_dead_tup), 0),
           coalesce(sum(autovacuum_count), 0)
    from pg_stat_user_tables
    where schemaname = 'df'
"""
_TOTALS = """
    select (select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')),
           (select xact_commit from pg_stat_database where datname = current_database()),
           (select temp_files from pg_stat_database where datname = current_database())
"""
_NOW = """
    select (select count(*) from pg_stat_activity where backend_type = 'client backend'),
           (select count(*) from pg_locks),
           (select count(*) from pg_locks where locktype = 'advisory'),
           (select count(*) from pg_ls_tmpdir()),
           (select count(*) from pg_prepared_xacts),
           (select count(*) from df.instances where status in ('pending', 'running')),
           (select count(*) from df.instances
            where due_at <= clock_timestamp() and worker is null),
           (select coalesce(max(age(backend_xmin)), 0) from pg_stat_activity)
"""
# The probe of df._claim: the oldest that is due of each role.
_CLAIM = """
    select count(*)
    from unnest(%s::text[]) r (name)
    cross join lateral (
      select i.due_at
      from df.instances i
      where i.submitted_by = r.name::regrole
        and i.due_at <= now()
        and i.worker is null
      order by i.due_at
      limit 1) d
"""
# Those that ended since the last look: the index has the statuses by the time of the start.
_LATENCIES = """
    select label, extract(epoch from completed_at - created_at)::float8
    from df.instances
    where status = 'completed'
      and created_at > clock_timestamp() - interval '2 minutes'
      and completed_at > to_timestamp(%s)
      and completed_at <= to_timestamp(%s)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What is seen at an instant; `totals` only grow, `levels` are what must stay level."""

    at: float
    levels: dict[str, float]
    totals: dict[str, float]
    sizes: dict[str, float]
    latencies: list[float] = field(default_factory=list)


class Observer:
    """Looks at a server and workers."""

    def __init__(
        self, dsn: str, postmaster: int, workers: list[psutil.Process], roles: list[str]
    ) -> None:
        self._session = psycopg.connect(dsn, autocommit=True, application_name="pg_durable:look")
        self._session.execute("set enable_seqscan = off")
        self._postmaster = psutil.Process(postmaster)
        self._workers = workers
        self._roles = roles
        self._waits = {kind.name: kind.waits for kind in KINDS}
        self._seen_until = self._clock()

    def close(self) -> None:
        """Close the session."""
        self._session.close()

    def worker_died(self) -> bool:
        """Whether one has ended, of which there is nothing left to look at."""
        return any(process.status() == psutil.STATUS_ZOMBIE for process in self._workers)

    def look(self) -> Look:
        """Look once; takes some milliseconds."""
        locks = self._row(_NOW)
        claim = self._timed(_CLAIM, self._roles)
        live, dead, vacuums = self._row(_ROWS)
        wal, commits, temp_files = self._row(_TOTALS)
        sizes = self._rows(_SIZES)
        worker = [process.memory_info().rss for process in self._workers]
        return Look(
            at=time.time(),
            levels={
                "worker memory, MB": sum(worker) / _MEGABYTE,
                "worker files": sum(process.num_fds() for process in self._workers),
                "worker threads": sum(process.num_threads() for process in self._workers),
                "server sessions": locks[0],
                "server memory, MB": self._server_memory() / _MEGABYTE,
                "locks": locks[1],
                "advisory locks": locks[2],
                "temporary files": locks[3],
                "prepared transactions": locks[4],
                "tables, MB": sum(size for _, kind, size in sizes if kind == "table") / _MEGABYTE,
                "indexes, MB": sum(size for _, kind, size in sizes if kind == "index") / _MEGABYTE,
                "live rows": live,
                "dead rows": dead,
                "unfinished": locks[5],
                "queue": locks[6],
                "oldest snapshot, transactions": locks[7],
                "claim probe, ms": claim,
            },
            totals={
                "wal": float(wal),
                "commits": float(commits),
                "temp_files": float(temp_files),
                "vacuums": float(vacuums),
                "worker_cpu": sum(sum(process.cpu_times()[:2]) for process in self._workers),
                "server_cpu": self._server_cpu(),
                "own_cpu": sum(psutil.Process().cpu_times()[:2]),
                "all_cpu": _busy(),
            },
            sizes={name: size / _MEGABYTE for name, _, size in sizes},
            latencies=self._latencies(),
        )

    def effects(self, query: LiteralString) -> int:
        """The only value of a query."""
        return int(self._row(query)[0])

    def _latencies(self) -> list[float]:
        now = self._clock()
        rows = self._rows(_LATENCIES, self._seen_until, now)
        self._seen_until = now
        return [
            1000 * (seconds - waits)
            for label, seconds in rows
            if (waits := self._waits.get(label)) is not None
        ]

    def _clock(self) -> float:
        return float(self._row("select extract(epoch from clock_timestamp())")[0])

    def _timed(self, query: LiteralString, *params: object) -> float:
        begun = time.perf_counter()
        self._session.execute(query, params or None)
        return 1000 * (time.perf_counter() - begun)

    def _rows(self, query: LiteralString, *params: object) -> list[tuple[Any, ...]]:
        rows = self._session.execute(query, params or None).fetchall()
        return [tuple(float(v) if isinstance(v, Decimal) else v for v in row) for row in rows]

    def _row(self, query: LiteralString) -> tuple[Any, ...]:
        (row,) = self._rows(query)
        return row

    def _server_memory(self) -> float:
        """Of all its processes, without the shared buffers, which fill up as they should."""
        return sum(_private_memory(process) for process in _family(self._postmaster))

    def _server_cpu(self) -> float:
        """Seconds, those of sessions that have ended included."""
        spent = self._postmaster.cpu_times()
        total = sum(spent[:4])
        for process in self._postmaster.children():
            with suppress(psutil.Error):
                total += sum(process.cpu_times()[:2])
        return total


def _family(process: psutil.Process) -> list[psutil.Process]:
    return [process, *process.children()]


def _private_memory(process: psutil.Process) -> float:
    try:
        lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text("ascii").splitlines()
    except OSError:  # it has just ended, or this is not Linux
        return 0.0
    kilobytes = {words[0]: int(words[1]) for line in lines if len(words := line.split()) == 3}
    return 1024.0 * (kilobytes.get("Pss:", 0) - kilobytes.get("Pss_Shmem:", 0))


def _busy() -> float:
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0.0))


def machine() -> dict[str, object]:
    """What the figures were measured on."""
    return {
        "cores": os.cpu_count(),
        "memory_mb": round(psutil.virtual_memory().total / _MEGABYTE),
        "system": " ".join(os.uname()[::2]),
    }
