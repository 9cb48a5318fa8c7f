"""Plans of the torture harness."""

from pg_durable.torture.faults import FAULTS
from pg_durable.torture.plan import make_plan


def test_the_same_seed_makes_the_same_plan() -> None:
    assert make_plan(42, workers=3) == make_plan(42, workers=3)
    assert make_plan(42, workers=3) != make_plan(43, workers=3)


def test_all_faults_come_up_in_two_hundred_seeds() -> None:
    plans = [make_plan(seed, workers=3) for seed in range(200)]

    assert {fault.kind for plan in plans for fault in plan.faults} == set(FAULTS)


def test_the_faults_that_are_chosen_are_the_only_ones() -> None:
    plans = [make_plan(seed, workers=3, faults=["black-hole"]) for seed in range(20)]

    assert {fault.kind for plan in plans for fault in plan.faults} == {"black-hole"}
    assert make_plan(1, workers=3, faults=[]).faults == ()


def test_faults_and_starts_lie_within_the_time_of_the_round() -> None:
    for seed in range(50):
        plan = make_plan(seed, workers=3)
        assert all(0 <= workflow.at <= plan.seconds for workflow in plan.workflows)
        assert all(
            fault.at > 0 and fault.at + fault.seconds <= plan.seconds for fault in plan.faults
        )
