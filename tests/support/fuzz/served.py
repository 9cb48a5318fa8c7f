"""A database with a worker process, two users, and what must hold after any input."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

from support.waiting import DEADLINE

USER, NEIGHBOUR = "fuzz_user", "fuzz_neighbour"

# Nothing in here waits for long of its own accord.
_SETTINGS = {
    "PG_DURABLE_LOOP_MIN_INTERVAL": "0",
    "PG_DURABLE_POLL_INTERVAL": "0.2",
    "PG_DURABLE_MAX_ATTEMPTS": "3",
    "PG_DURABLE_MAX_LOOP_ITERATIONS": "50",
}


class Served:
    """A fresh database that a worker serves, with sessions of its owner and of two users."""

    def __init__(self, conninfo: str, log: Path) -> None:
        self.conninfo = conninfo
        self.log_file = log
        self.owner = psycopg.connect(conninfo, autocommit=True)
        self.user = psycopg.connect(make_conninfo(conninfo, user=USER), autocommit=True)
        self.neighbour = psycopg.connect(make_conninfo(conninfo, user=NEIGHBOUR), autocommit=True)
        self.worker: subprocess.Popen[bytes]

    def scalar(self, query: str, *params: object, by: "psycopg.Connection | None" = None) -> Any:
        """The only value of a query, asked by the owner unless said otherwise."""
        row = (by or self.owner).execute(query, params or None).fetchone()
        assert row is not None
        return row[0]

    def outcomes(
        self, instances: Sequence[str], within: float = DEADLINE, *, or_waiting: bool = False
    ) -> dict[str, list[str]]:
        """The status and output of instances, when all have ended (or wait for what takes longer:
        those are left out)."""
        end = time.monotonic() + within
        while True:
            rows = self.owner.execute(
                "select id, status, output from df.instances where id = any (%s)",
                (list(instances),),
            ).fetchall()
            left = [row[0] for row in rows if row[1] not in ("completed", "failed", "cancelled")]
            if or_waiting:
                left = [id_ for id_ in left if not self._waits(id_)]
            if not left:
                return {id_: [status, output or ""] for id_, status, output in rows
                        if status in ("completed", "failed", "cancelled")}  # fmt: skip
            self.assert_alive()
            assert time.monotonic() < end, f"not ended: {left}\n{self.log()[-4000:]}"
            time.sleep(0.02)

    def _waits(self, instance: str) -> bool:
        """Whether it is parked, for something that will come."""
        row = self.owner.execute(
            "select waits_for ~ '^(signal|next tick|next iteration|until) '"
            " from df.waiting_for(%s)",
            (instance,),
        ).fetchone()
        return row is not None and bool(row[0])

    def log(self) -> str:
        """What the worker has said."""
        return self.log_file.read_text(errors="replace")

    def assert_alive(self) -> None:
        """The worker lives, has met no error of its own, and never had to connect anew."""
        assert self.worker.poll() is None, self.log()[-4000:]
        assert "Traceback" not in self.log(), self.log()[-6000:]
        assert "lost the server" not in self.log(), self.log()[-4000:]

    def assert_serves_others(self) -> None:
        """A workflow of another user is run as if nothing were."""
        other = self.scalar("select df.start('select 41' ~> 'select 42')", by=self.neighbour)
        assert self.outcomes([other])[other][0] == "completed"
        self.assert_alive()


def users(conninfo: str) -> None:
    """Make the roles of the two users."""
    with psycopg.connect(conninfo, autocommit=True) as owner:
        for role in (USER, NEIGHBOUR):
            owner.execute(f"create role {role} login")


@contextmanager
def served(conninfo: str, folder: Path, **environment: str) -> Iterator[Served]:
    """Serve a fresh database by a worker process."""
    with psycopg.connect(conninfo, autocommit=True) as owner:
        for role in (USER, NEIGHBOUR):
            owner.execute(f"select df.grant_usage('{role}', include_http => true)")
        owner.execute(f"grant create on schema public to {USER}")
    log = folder / "worker.log"
    served = Served(conninfo, log)
    with log.open("wb") as to:
        served.worker = subprocess.Popen(
            [sys.executable, "-m", "pg_durable", "worker", conninfo],
            env={**os.environ, **_SETTINGS, **environment},
            stdout=to,
            stderr=to,
        )
    try:
        yield served
    finally:
        served.worker.terminate()
        try:
            served.worker.wait(DEADLINE)
        finally:
            served.worker.kill()
        for session in (served.owner, served.user, served.neighbour):
            session.close()
