"""What a peer is, and how its throughput is measured.

All work is handed over first, then the peer's processes are started. Measuring begins when they
have run a tenth of all steps, so that starting up does not count. It ends when by the peer's own
tables nearly all instances are done: without the last few, which cannot keep all processes busy.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

import psutil

from pg_durable.bench.counters import Counters
from pg_durable.bench.figures import RATE, Reading
from pg_durable.bench.lab import Lab
from pg_durable.bench.machine import versions
from pg_durable.bench.peers.shape import STEPS, TALLY
from pg_durable.bench.peers.tally import total
from pg_durable.bench.place import scratch_database
from pg_durable.errors import NotFound, PgDurableError, WaitTimeout

_PROCESS = "pg_durable.bench.peers.process"
_FROM, _TO = 0.1, 0.95  # what part of all is done when measuring begins and ends
_POLL = 0.05
_TO_PREPARE = 300.0  # seconds
_TO_BEGIN = 60.0
_MOST = 20.0  # a peer that takes longer is measured by what it has done
_COSTS = (
    ("commits", "commits", "commits"),
    ("wal_bytes", "wal_bytes", "bytes"),
    ("worker_cpu_us", "worker_cpu", "µs"),
    ("server_cpu_us", "server_cpu", "µs"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Another system.

    Attributes:
        packages: what must be installed.
        module: where its `prepare` and `work` are.
        done: how many instances are done, by its own tables.
        counts: instances for each shape of workflow it can run, at scale one.
        processes: how many run the work: as many as make it fastest on two cores.
        how: its settings, in words.
    """

    name: str
    packages: tuple[str, ...]
    module: str
    done: str
    counts: Mapping[str, int]
    processes: int
    how: str

    def described(self) -> str:
        """Versions and settings."""
        return f"{', '.join(versions(self.packages))}; {self.processes} processes; {self.how}"


class Seen(NamedTuple):
    """How many instances were done and steps run, when, and what had been spent by then."""

    done: int
    steps: int
    at: float
    spent: Counters


def require_peers(peers: Iterable[Peer]) -> None:
    """See that they are installed, before anything is measured.

    Raises:
        NotFound: one is not.
    """
    for peer in peers:
        for package in peer.packages:
            try:
                version(package)
            except PackageNotFoundError:
                raise NotFound(
                    f"The peer {peer.name} needs {package}, which is not installed.",
                    hint="Run: pip install 'pg-durable[peers]'",
                ) from None


def measure_peer(peer: Peer, server: str, scale: float) -> Iterator[Reading]:
    """Steps a second in each shape of workflow, and what a step costs.

    Raises:
        PgDurableError: one of its processes failed.
    """
    for workload, count in peer.counts.items():
        with scratch_database(server, peer.name) as dsn, Lab(dsn) as lab:
            yield from _measure(peer, lab, workload, max(20, int(count * scale)))


def _measure(peer: Peer, lab: Lab, workload: str, count: int) -> Iterator[Reading]:
    with tempfile.TemporaryDirectory(prefix="pgdb_") as folder:
        first, last = _run(peer, lab, workload, count, Path(folder))
    steps, seconds = last.steps - first.steps, last.at - first.at
    if not steps:
        raise PgDurableError(f"{peer.name} was too quick to be measured: use a larger --scale.")
    name = f"{peer.name}_{workload}"
    yield Reading(name=f"{name}_steps_per_s", value=steps / seconds, unit=RATE)
    costs = last.spent.since(first.spent)
    for cost, label, unit in _COSTS:
        yield Reading(name=f"{name}_{label}_per_step", value=costs[cost] / steps, unit=unit)


def _run(peer: Peer, lab: Lab, workload: str, count: int, folder: Path) -> tuple[Seen, Seen]:
    """What was seen at the beginning of measuring and at its end."""
    command = [sys.executable, "-m", _PROCESS, peer.module]
    environment = {**os.environ, "PG_DURABLE_DSN": lab.dsn, TALLY: str(folder)}
    with _process([*command, "prepare", workload, str(count)], environment) as preparing:
        if preparing.wait(_TO_PREPARE) != 0:
            raise PgDurableError(f"{peer.name} could not be set up; what it says is above.")
    all_steps = count * STEPS[workload]
    with ExitStack() as stack:
        each = str(-(-count // peer.processes))
        working = [
            stack.enter_context(_process([*command, "work", workload, each], environment))
            for _ in range(peer.processes)
        ]
        trees = [psutil.Process(process.pid) for process in working]

        def look() -> Seen:
            for process in working:
                if process.poll() is not None:
                    raise PgDurableError(f"{peer.name} failed; what it says is above.")
            return Seen(
                done=lab.value(peer.done),
                steps=min(total(folder), all_steps),
                at=time.monotonic(),
                spent=lab.counters(trees),
            )

        first = _wait(look, lambda seen: seen.steps >= all_steps * _FROM, _TO_BEGIN)
        if first.steps < all_steps * _FROM:
            raise WaitTimeout(f"{peer.name} has run {first.steps} steps in {_TO_BEGIN:.0f} s.")
        return first, _wait(look, lambda seen: seen.done >= count * _TO, _MOST)


def _wait(look: Callable[[], Seen], enough: Callable[[Seen], bool], seconds: float) -> Seen:
    end = time.monotonic() + seconds
    while True:
        seen = look()
        if enough(seen) or time.monotonic() > end:
            return seen
        time.sleep(_POLL)


@contextmanager
def _process(command: list[str], environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is killed when the block ends, or we do: see `process`."""
    process = subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    assert process.stdin is not None
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
