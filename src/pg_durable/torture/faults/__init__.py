"""The faults by name. Each happens at some instant of a round, lasts, and is lifted again."""

from collections.abc import Mapping

from pg_durable.torture.faults import disk, locks, network, server, sessions, settings, workers
from pg_durable.torture.faults.base import Fault

# What PostgreSQL says of a user's statement that was cancelled, or ran into a timeout, a full disk,
# a deadlock, a serialization failure or a transaction that must only read.
_CANCELLED = frozenset({"57014"})
_TIMED_OUT = frozenset({"57014", "55P03", "40001", "25006"})
_FULL = frozenset({"53100", "58030", "XX000"})

FAULTS: Mapping[str, Fault] = {
    "worker-killed": workers.WorkerKilled(),
    "worker-stopped": workers.WorkerStopped(),
    "worker-frozen": workers.WorkerFrozen(),
    "worker-clock": workers.WorkerWithWrongClock(),
    "server-killed": server.ServerKilled(crashes=True),
    "server-stopped": server.ServerStopped(crashes=True),
    "backend-killed": server.BackendKilled(crashes=True),
    "backend-frozen": server.BackendFrozen(),
    "sessions-ended": sessions.SessionsEnded(),
    "statements-cancelled": sessions.StatementsCancelled(excuses=_CANCELLED),
    "connections-exhausted": sessions.ConnectionsExhausted(),
    "connections-cut": network.ConnectionsCut(spoils_network=True),
    "black-hole": network.BlackHole(spoils_network=True),
    "partition": network.Partition(spoils_network=True),
    "slow-network": network.SlowNetwork(spoils_network=True),
    "network-unreachable": network.NetworkUnreachable(spoils_network=True),
    "notifications-lost": network.NotificationsLost(spoils_network=True),
    "disk-full": disk.DiskFull(excuses=_FULL, crashes=True),
    "tables-locked": locks.TablesLocked(excuses=frozenset({"40P01"})),
    "rows-locked": locks.RowsLocked(excuses=frozenset({"40P01"})),
    "snapshot-held": locks.SnapshotHeld(),
    "timeouts": settings.Timeouts(excuses=_TIMED_OUT),
}

__all__ = ["FAULTS", "Fault"]
