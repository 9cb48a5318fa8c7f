"""The protocol in larger worlds than `make test` visits: minutes, and gigabytes."""

import pytest

from model.protocol import Protocol
from model.scenarios import LARGE_WORLDS


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("world", LARGE_WORLDS.values(), ids=LARGE_WORLDS.keys())
def test_steps_commit_once_and_in_order_and_everything_ends(world: Protocol) -> None:
    explored = world.explore()

    assert any(state.ended for state in explored.states)
