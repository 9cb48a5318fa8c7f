"""Finding the primary among several servers, and noticing that a server or a worker has vanished.

A machine that loses its power or its network says nothing: no packet tells its peers that their
connections are gone. Left to the operating system that would take a quarter of an hour for a
connection with something unacknowledged, and two hours for a silent one.
"""

import os
from collections.abc import Mapping

from psycopg.pq.abc import PGconn

# By the client's side: a silent peer is probed after 5 s, and given up after 10 without an answer.
_NOTICING = {
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",  # milliseconds
}
# By the server's side, lest the transaction of a vanished worker keep its locks. These are
# settings of the session, without effect on a Unix socket.
SERVER_NOTICING = {
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "10000",
}
# Seconds for each host: of several, the dead one must not take all the time; one alone may be busy.
_CONNECT_TIMEOUT = "10"
_CONNECT_TIMEOUT_OF_SEVERAL = "4"


def reach(parts: Mapping[str, str]) -> dict[str, str]:
    """Parts of a connection string by which a server that has vanished is noticed. Of several
    servers it leads to the primary. What the user gave counts.
    """
    several = _has_several_hosts(parts)
    defaults = dict(_NOTICING)
    if "PGCONNECT_TIMEOUT" not in os.environ:
        defaults["connect_timeout"] = _CONNECT_TIMEOUT_OF_SEVERAL if several else _CONNECT_TIMEOUT
    if several and "PGTARGETSESSIONATTRS" not in os.environ:
        defaults["target_session_attrs"] = "primary"
    return {**defaults, **parts}


def reach_primary(parts: Mapping[str, str]) -> dict[str, str]:
    """The same for a worker, which can do nothing without a primary.

    `read-write` would refuse roles whose transactions are read-only by default; their steps are
    recorded all the same.
    """
    return {**reach(parts), "target_session_attrs": "primary"}


def at_server_of(session: PGconn, parts: Mapping[str, str]) -> dict[str, str]:
    """Parts of a connection string that leads to the server of a session, and to no other.

    So all sessions of a worker are with the same server while several change their roles, and
    none waits for one that is gone.
    """
    found = {"host": session.host, "hostaddr": session.hostaddr, "port": session.port}
    kept = {name: value for name, value in parts.items() if name not in found}
    return kept | {name: value.decode() for name, value in found.items() if value}


def _has_several_hosts(parts: Mapping[str, str]) -> bool:
    names = (("host", "PGHOST"), ("hostaddr", "PGHOSTADDR"))
    return any("," in (parts.get(name) or os.environ.get(other, "")) for name, other in names)
