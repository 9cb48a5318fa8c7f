"""What counts as a sign that the schema is another."""

from pg_durable.engine.watch import is_misfit
from pg_durable.store import StoreError
from pg_durable.wire import ConnectionLost


def test_what_came_of_a_function_that_is_not_there_is_a_sign() -> None:
    error = ConnectionLost("the session ends")
    error.__cause__ = StoreError("function df._claim does not exist", "42883")

    assert is_misfit(error)
    assert not is_misfit(StoreError("out of memory", "53200"))


def test_a_loss_whose_causes_lead_back_to_it_is_none() -> None:
    first, second = ConnectionLost("one"), ConnectionLost("two")
    first.__cause__, second.__cause__ = second, first

    assert not is_misfit(first)
