"""The same work done by other systems: on the same server, by their own API, with durable commits.

| module             | what it holds                                              |
|--------------------|------------------------------------------------------------|
| peer               | what a peer is, and how its throughput is measured         |
| known              | which peers there are, and how each is set up              |
| process            | a process of a peer: set-up, or what runs the work         |
| tally              | how many steps such a process has run                      |
| shape              | what the modules of the single peers share                 |
| dbos_peer          | dbos                                                       |
| dbos_tx_peer       | dbos with its datasource                                   |
| absurd_peer        | absurd-sdk                                                 |
| duroxide_peer      | duroxide                                                   |
| procrastinate_peer | procrastinate, a queue of jobs: one step only              |
| pgqueuer_peer      | pgqueuer, a queue of jobs: one step only                   |

The modules of single peers import what they measure, so only `process` imports them.
"""

from pg_durable.bench.peers.known import PEERS
from pg_durable.bench.peers.peer import Peer, measure_peer, require_peers

__all__ = ["PEERS", "Peer", "measure_peer", "require_peers"]
