"""Random graphs: result, statuses and effects as the reference evaluator tells them."""

from support.database import Database
from support.search.compare import search
from support.search.graphs import make_case
from support.search.observe import prepare
from support.workers import worker_here

GRAPHS = 600


async def test_random_graphs_do_what_the_reference_tells(db: Database) -> None:
    await prepare(db)
    cases = [make_case(seed) for seed in range(GRAPHS)]

    async with worker_here(db.conninfo, loop_min_interval=0.0):
        mismatches = await search(db, cases, within=60)

    assert not mismatches, "\n".join(map(str, mismatches))
