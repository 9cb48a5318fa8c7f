"""Settings: defaults, environment, flags."""

import pytest

from pg_durable.errors import InvalidWorkflow
from pg_durable.settings import Settings


def test_flags_win_over_the_environment_and_the_environment_over_defaults() -> None:
    environment = {"PG_DURABLE_GRACE": "3", "PG_DURABLE_LEASE": "7"}

    settings = Settings.load(environment, lease=9.0, grace=None)

    assert (settings.grace, settings.lease, settings.poll_interval) == (3.0, 9.0, 1.0)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("PG_DURABLE_GRACE", "soon", "PG_DURABLE_GRACE is 'soon', which is not a number."),
        ("PG_DURABLE_GRACE", "-1", "PG_DURABLE_GRACE is -1; it must be at least 0, and finite."),
        ("PG_DURABLE_GRACE", "inf", "PG_DURABLE_GRACE is inf; it must be at least 0, and finite."),
        ("PG_DURABLE_GRACE", "nan", "PG_DURABLE_GRACE is nan; it must be at least 0, and finite."),
        (
            "PG_DURABLE_MAX_USER_CONNECTIONS",
            "0",
            "PG_DURABLE_MAX_USER_CONNECTIONS is 0; it must be at least 1, and finite.",
        ),
        (
            "PG_DURABLE_MAX_USER_CONNECTIONS",
            "2.5",
            "PG_DURABLE_MAX_USER_CONNECTIONS is '2.5', which is not a number.",
        ),
        (
            "PG_DURABLE_IDENTITY",
            "sudo",
            "PG_DURABLE_IDENTITY is 'sudo'; it must be login or set_role.",
        ),
    ],
)
def test_a_value_out_of_range_is_named(name: str, value: str, message: str) -> None:
    with pytest.raises(InvalidWorkflow) as caught:
        Settings.load({name: value})

    assert caught.value.message == message
