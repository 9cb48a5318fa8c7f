"""A hundred rounds of random kills among postmaster, launcher, worker and sessions.

Run by `make test-long`; it tells what was killed.
"""

import random
import tempfile
from pathlib import Path

import pytest

from support.kill_rounds import kill_at_random
from support.launcher import build_library, launched, processes_in

ROUNDS = 100

pytestmark = pytest.mark.timeout(1800)


async def test_a_hundred_random_kills_leave_no_orphan_and_no_stuck_instance() -> None:
    with (
        tempfile.TemporaryDirectory(prefix="pg_durable_library_") as built,
        tempfile.TemporaryDirectory(prefix="pg_durable_launcher_") as folder,
    ):
        with launched(Path(folder), build_library(Path(built))) as server:
            await kill_at_random(server, rounds=ROUNDS, dice=random.Random(4715))

        assert processes_in(Path(folder) / "data") == []
