"""Random graphs: result, statuses and effects as the reference evaluator tells them."""

import pytest

from support.database import Database
from support.search.compare import search
from support.search.graphs import make_case
from support.search.observe import prepare
from support.workers import worker_here


@pytest.mark.parametrize(
    ("seeds", "park_after"),
    [
        pytest.param(range(300), 0.25, id="short waits in the worker"),
        pytest.param(range(300, 600), 0.0, id="every wait in the database"),
    ],
)
async def test_random_graphs_do_what_the_reference_tells(
    db: Database, seeds: range, park_after: float
) -> None:
    await prepare(db)
    cases = [make_case(seed) for seed in seeds]

    async with worker_here(db.conninfo, loop_min_interval=0.0, park_after=park_after):
        mismatches = await search(db, cases, within=40)

    assert not mismatches, "\n".join(map(str, mismatches))
