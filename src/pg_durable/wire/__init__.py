"""Connections with the server: strings, the pipelined session, binary parameters."""

from pg_durable.wire.wire import ConnectionLost, Results, Wire

__all__ = ["ConnectionLost", "Results", "Wire"]
