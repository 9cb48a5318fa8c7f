"""Run the cases of some seeds again, and shrink those that differ.

PYTHONPATH=tests .venv/bin/python -m support.search.replay SEED …
"""

import asyncio
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from pg_durable.embedded import EmbeddedServer
from pg_durable.schema import install
from support.database import Database
from support.search.compare import Mismatch, search
from support.search.graphs import Case, make_case
from support.search.observe import prepare
from support.search.shrink import shrink
from support.workers import worker_here

WITHIN = 5.0


async def replay(conninfo: str, seeds: Sequence[int]) -> list[Mismatch]:
    """The mismatches, as small as they get; with short waits in the worker, and without any."""
    db = await Database.connect(conninfo)
    await prepare(db)

    async def attempt(cases: Sequence[Case]) -> list[Mismatch]:
        return await search(db, cases, within=WITHIN)

    smallest = []
    for park_after in (0.25, 0.0):
        async with worker_here(conninfo, loop_min_interval=0.0, park_after=park_after):
            found = await attempt([make_case(seed) for seed in seeds])
            smallest += [await shrink(mismatch, attempt) for mismatch in found]
    await db.close()
    return smallest


def main() -> None:
    """Print what differs; ends with 1 if anything does."""
    seeds = [int(argument) for argument in sys.argv[1:]]
    with (
        tempfile.TemporaryDirectory(prefix="pg_durable_search_") as folder,
        EmbeddedServer(Path(folder), settings={"fsync": "off"}) as server,
    ):
        install(server.dsn())
        mismatches = asyncio.run(replay(server.dsn(), seeds))
    print(*mismatches, sep="\n")
    sys.exit(bool(mismatches))


if __name__ == "__main__":
    main()
