"""Other systems can be measured beside this one. Never skipped: `make test-long` installs them."""

import pytest

from pg_durable.bench.peers import PEERS, measure_peer, require_peers
from pg_durable.bench.place import scratch_server


@pytest.mark.parametrize("name", PEERS)
@pytest.mark.timeout(600)
def test_a_peer_runs_every_shape_of_work_that_it_can(name: str) -> None:
    peer = PEERS[name]
    require_peers([peer])

    with scratch_server(None) as server:
        readings = {reading.name: reading.value for reading in measure_peer(peer, server, 0.03)}

    for shape in peer.counts:
        assert readings[f"{name}_{shape}_steps_per_s"] > 0
        assert readings[f"{name}_{shape}_wal_bytes_per_step"] > 0
        assert readings[f"{name}_{shape}_commits_per_step"] > 0
