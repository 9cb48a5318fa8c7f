"""The promised times of a take-over, over many kills. Run by `make test-long`; it prints them."""

import pytest

from support.database import Database
from support.takeovers import StandStill, end_in_turn, percentile

KILLS = 30
INSTANCES = 12
LEASE = 3.0
STEP = 0.5  # the first step after it

pytestmark = pytest.mark.timeout(900)


async def test_instances_of_killed_workers_go_on_within_two_seconds(db: Database) -> None:
    still = await end_in_turn(db, INSTANCES, KILLS)

    _tell(f"{KILLS} kills", still)
    assert len(still) >= 100
    assert percentile(still, 0.99) <= 2.0


async def test_instances_of_frozen_workers_go_on_within_their_lease(db: Database) -> None:
    still = await end_in_turn(
        db, INSTANCES, 10, frozen=True, lease=LEASE, heartbeat_interval=LEASE / 3
    )

    _tell(f"10 workers frozen, lease {LEASE} s", still)
    assert len(still) >= 100
    assert percentile(still, 0.99) <= LEASE + STEP


def _tell(what: str, still: list[StandStill]) -> None:
    print(
        f"\n{what}, {len(still)} instances: p50 {percentile(still, 0.5):.2f} s,"
        f" p99 {percentile(still, 0.99):.2f} s, most {percentile(still, 1.0):.2f} s"
    )
