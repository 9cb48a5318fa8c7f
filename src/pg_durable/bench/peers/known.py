"""Which peers there are, and how each is set up: as fast as its documented settings make it."""

from pg_durable.bench.peers.peer import Peer

_ALL = (
    Peer(
        name="dbos",
        packages=("dbos",),
        module="pg_durable.bench.peers.dbos_peer",
        done="select count(*) from dbos.workflow_status where status = 'SUCCESS'",
        counts={"one_step": 1_500, "chain_10": 300},
        processes=2,
        how="started in the process that runs them (no queue in between), 16 at a time,"
        " by ordinary steps, which it records afterwards: at least once",
    ),
    Peer(
        name="dbos_tx",
        packages=("dbos",),
        module="pg_durable.bench.peers.dbos_tx_peer",
        done="select count(*) from dbos.workflow_status where status = 'SUCCESS'",
        counts={"one_step": 1_500, "chain_10": 300},
        processes=2,
        how="as dbos, each step a transaction of its datasource: exactly once",
    ),
    Peer(
        name="absurd",
        packages=("absurd-sdk", "absurdctl"),
        module="pg_durable.bench.peers.absurd_peer",
        done="select count(*) from absurd.t_default where state = 'completed'",
        counts={"one_step": 5_000, "chain_10": 1_000},
        processes=4,
        how="synchronous workers, each claiming 20 tasks at a time",
    ),
    Peer(
        name="duroxide",
        packages=("duroxide",),
        module="pg_durable.bench.peers.duroxide_peer",
        done="select count(*) from bench.executions where status = 'Completed'",
        counts={"one_step": 800, "chain_10": 150},
        processes=2,
        how="PostgreSQL provider; each runtime has threads of its own: 8 for orchestrations, 8 for"
        " activities, polling every 10 ms",
    ),
    Peer(
        name="procrastinate",
        packages=("procrastinate",),
        module="pg_durable.bench.peers.procrastinate_peer",
        done="select count(*) from procrastinate_jobs where status = 'succeeded'",
        counts={"one_step": 5_000},
        processes=2,
        how="asynchronous workers, 10 jobs at a time each",
    ),
    Peer(
        name="pgqueuer",
        packages=("pgqueuer",),
        module="pg_durable.bench.peers.pgqueuer_peer",
        done="select count(*) from pgqueuer_log where status = 'successful'",
        counts={"one_step": 10_000},
        processes=2,
        how="psycopg driver, batches of 300",
    ),
)
PEERS = {peer.name: peer for peer in _ALL}
