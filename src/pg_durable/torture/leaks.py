"""What must not be left behind when the workers have been stopped in order."""

import os
from typing import Any, LiteralString

import psutil
import psycopg

from pg_durable.torture.arena import Arena
from pg_durable.torture.server import Server
from pg_durable.torture.violations import Violation

_FILES_OF_A_WORKER = 60  # besides its sessions: the interpreter's own, the event loop's, logs

# Each finds what must not be, as a subject and the details.
_LEFT: dict[str, LiteralString] = {
    "session": """
        select pid, format('%s of %s, %s since %s: %s', application_name, usename, state,
                           state_change, left(query, 200))
        from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid()
          and backend_type = 'client backend'
    """,
    "worker row": "select worker, format('last seen %s', last_seen_at) from df._worker_epoch",
    "advisory lock": """
        select pid, format('%s %s', classid, objid) from pg_locks
        where locktype = 'advisory'
          and database = (select oid from pg_database where datname = current_database())
    """,
    "lock": """
        select pid, format('%s on %s', mode, relation::regclass) from pg_locks
        where locktype = 'relation' and pid <> pg_backend_pid()
          and database = (select oid from pg_database where datname = current_database())
          and pid in (select pid from pg_stat_activity where backend_type = 'client backend')
    """,
    "prepared transaction": """
        select gid, format('of %s since %s', owner, prepared) from pg_prepared_xacts
        where database = current_database()
    """,
    "temporary file": "select name, format('%s bytes', size) from pg_ls_tmpdir()",
}
# After a crash, the server removes those of ended sessions by and by.
_TEMPORARY_TABLES: LiteralString = """
    select oid::regclass, 'a temporary table'
    from pg_class where relpersistence = 't' and relkind = 'r'
"""


async def find_left(
    session: psycopg.AsyncConnection[Any], *, crashed: bool = False
) -> list[Violation]:
    """What is left in the server."""
    queries = _LEFT if crashed else {**_LEFT, "temporary table": _TEMPORARY_TABLES}
    found = []
    for name, query in queries.items():
        cursor = await session.execute(query)
        found += [
            Violation(f"leaked {name}", str(row[0]), str(row[1])) for row in await cursor.fetchall()
        ]
    return found


def find_open_files(arena: Arena) -> list[Violation]:
    """Workers that have more files open than their sessions and they themselves need."""
    most = _FILES_OF_A_WORKER + 3 * arena.plan.sessions
    found = []
    for worker in arena.workers:
        if worker.pid is not None:
            count = psutil.Process(worker.pid).num_fds()
            if count > most:
                detail = f"{count} files are open; at most {most} should be"
                found.append(Violation("leaked file", f"worker {worker.number}", detail))
    return found


def find_orphans(server: Server) -> list[Violation]:
    """Processes that we have started, or they have, and that still run."""
    ours = psutil.Process(os.getpid())
    postmaster = server.postmaster
    theirs = {postmaster.pid, *(p.pid for p in server.processes())} if postmaster else set()
    found = []
    for process in ours.children(recursive=True):
        try:
            if process.pid not in theirs and process.status() != psutil.STATUS_ZOMBIE:
                detail = " ".join(process.cmdline())
                if not any(parent.pid in theirs for parent in process.parents()):
                    found.append(Violation("leaked process", str(process.pid), detail))
        except psutil.NoSuchProcess:
            continue
    return found
