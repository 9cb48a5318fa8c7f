"""The protocol, checked in every order in which its actors can act.

To read the shortest way to a fault: PYTHONPATH=tests python -m model.show
"""

import pytest

from model.explorer import ModelFault
from model.protocol import Protocol
from model.scenarios import CLAIM_DOES_NOT_COUNT, MUTATIONS, WORLDS

pytestmark = pytest.mark.timeout(600)  # seconds of computing, on a machine that may be busy


@pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS.keys())
def test_steps_commit_once_and_in_order_and_everything_ends(world: Protocol) -> None:
    explored = world.explore()

    assert any(state.ended for state in explored.states)
    assert len(explored.states) > 1000


@pytest.mark.parametrize("name", MUTATIONS)
def test_without_a_rule_a_fault_is_found(name: str) -> None:
    world, problem = MUTATIONS[name]

    with pytest.raises(ModelFault) as found:
        world.explore()

    assert found.value.problem.startswith(problem)
    print(found.value)


@pytest.mark.parametrize("world", CLAIM_DOES_NOT_COUNT)
def test_the_claim_saves_work_and_rows_alone_keep_steps_from_running_twice(world: Protocol) -> None:
    explored = world.explore()

    assert any(state.ended for state in explored.states)
