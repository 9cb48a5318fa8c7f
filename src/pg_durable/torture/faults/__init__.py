"""The faults by name. Each happens at some instant of a round, lasts, and is lifted again."""

from collections.abc import Mapping

from pg_durable.torture.faults.base import Fault
from pg_durable.torture.faults.workers import WorkerFrozen, WorkerKilled, WorkerStopped

FAULTS: Mapping[str, Fault] = {
    "worker-killed": WorkerKilled(),
    "worker-stopped": WorkerStopped(),
    "worker-frozen": WorkerFrozen(),
}

__all__ = ["FAULTS", "Fault"]
