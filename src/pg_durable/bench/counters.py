"""What work has cost: WAL, commits, versions of rows, and CPU of the server and of workers."""

from collections.abc import Iterable
from dataclasses import dataclass, fields

import psutil
import psycopg

# A transaction that writes has a number, and the numbers count up at once; the server's own
# count of commits is up to ten seconds behind.
_COUNTS = """
    select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float8,
      pg_snapshot_xmax(pg_current_snapshot())::text::float8
"""
_ROWS = """
    select coalesce(sum(n_tup_upd + n_tup_del), 0)::float8
    from pg_stat_user_tables
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """Counts since the server's start; what has been spent is the difference of two."""

    wal_bytes: float
    commits: float
    worker_cpu_us: float
    server_cpu_us: float

    def since(self, earlier: "Counters") -> dict[str, float]:
        """How much has come since then, by name."""
        return {
            field.name: getattr(self, field.name) - getattr(earlier, field.name)
            for field in fields(self)
        }


def read_counters(
    session: psycopg.Connection,
    postmaster: psutil.Process | None,
    workers: Iterable[psutil.Process],
) -> Counters:
    """The counters now. Without a local server its CPU counts as none."""
    row = session.execute(_COUNTS).fetchone()
    assert row is not None
    return Counters(
        wal_bytes=row[0],
        commits=row[1],
        worker_cpu_us=sum(_cpu_of_tree(worker) for worker in workers),
        server_cpu_us=_cpu_of_tree(postmaster) if postmaster else 0.0,
    )


def changed_rows(session: psycopg.Connection) -> float:
    """Versions of rows that updates and deletes have left behind, as far as it is known."""
    session.execute("select pg_stat_clear_snapshot()")
    row = session.execute(_ROWS).fetchone()
    assert row is not None
    return float(row[0])


def find_postmaster(session: psycopg.Connection) -> psutil.Process | None:
    """The server's main process, if it runs on this machine where we can see it."""
    try:
        parent = psutil.Process(session.info.backend_pid).parent()
    except psutil.Error:
        return None
    return parent if parent is not None and "postgres" in parent.name() else None


def _cpu_of_tree(process: psutil.Process) -> float:
    """User and system time in µs of a process, its children, and those that have ended."""
    total = 0.0
    try:
        own = process.cpu_times()
        children = process.children(recursive=True)
    except psutil.NoSuchProcess:
        return total
    total += own.user + own.system + own.children_user + own.children_system
    for child in children:
        try:
            times = child.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return 1e6 * total
