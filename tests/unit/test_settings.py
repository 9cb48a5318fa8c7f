"""Settings: defaults, the database's own, environment, flags."""

import pytest

from pg_durable.errors import InvalidWorkflow
from pg_durable.settings import Settings


def test_flags_win_over_the_environment_and_the_environment_over_defaults() -> None:
    environment = {"PG_DURABLE_GRACE": "3", "PG_DURABLE_LEASE": "7"}

    settings = Settings.load(environment, lease=9.0, grace=None)

    assert (settings.grace, settings.lease, settings.poll_interval) == (3.0, 9.0, 1.0)


def test_the_databases_own_settings_win_over_defaults_alone() -> None:
    settings = Settings.load({"PG_DURABLE_GRACE": "3"}, lease=9.0)

    served = settings.with_those_of_database(
        {
            "grace": "4",
            "lease": "4",
            "retention_days": "7",
            "poll_interval": "",
            "claim_ahead": None,
        }
    )

    assert (served.grace, served.lease, served.retention_days) == (3.0, 9.0, 7)
    assert (served.poll_interval, served.claim_ahead) == (1.0, 8)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("GRACE", "soon", "is 'soon', which is not a number from 0 to 86400."),
        ("GRACE", "-1", "is -1; it must be from 0 to 86400."),
        ("GRACE", "inf", "is inf; it must be from 0 to 86400."),
        ("GRACE", "nan", "is nan; it must be from 0 to 86400."),
        ("MAX_USER_CONNECTIONS", "0", "is 0; it must be from 1 to 1000."),
        ("MAX_USER_CONNECTIONS", "2.5", "is '2.5', which is not a whole number from 1 to 1000."),
        ("RETENTION_DAYS", "36501", "is 36501; it must be from 0 to 36500."),
    ],
)
def test_a_value_out_of_range_is_named_with_where_it_comes_from(
    name: str, value: str, message: str
) -> None:
    with pytest.raises(InvalidWorkflow) as in_environment:
        Settings.load({f"PG_DURABLE_{name}": value})
    with pytest.raises(InvalidWorkflow) as in_database:
        Settings().with_those_of_database({name.lower(): value})

    assert in_environment.value.message == f"PG_DURABLE_{name} {message}"
    assert (
        in_database.value.message == f"The database's setting pg_durable.{name.lower()} {message}"
    )


def test_a_worker_with_one_session_of_its_engine_does_not_start() -> None:
    message = (
        "max_duroxide_connections is 1, so the worker cannot start: it needs 2, one to claim work"
        " and one to hear of it."
    )

    with pytest.raises(InvalidWorkflow) as in_environment:
        Settings.load({"PG_DURABLE_MAX_DUROXIDE_CONNECTIONS": "1"})
    with pytest.raises(InvalidWorkflow) as in_database:
        Settings().with_those_of_database({"max_duroxide_connections": "1"})

    assert in_environment.value.message == in_database.value.message == message


def test_texts_come_from_flags_and_the_environment_and_not_from_the_database() -> None:
    environment = {"PG_DURABLE_HTTP_PROXY": "http://proxy:3128", "PG_DURABLE_HTTP_POLICY": "none"}

    settings = Settings.load(environment, http_policy="public").with_those_of_database(
        {"http_ca_bundle": "/tmp/theirs.pem", "http_proxy": "http://theirs:3128"}
    )

    assert (settings.http_policy, settings.http_proxy) == ("public", "http://proxy:3128")
    assert settings.http_ca_bundle == ""


def test_an_identity_that_there_is_not_is_named() -> None:
    with pytest.raises(InvalidWorkflow) as caught:
        Settings.load({"PG_DURABLE_IDENTITY": "sudo"})

    assert caught.value.message == "PG_DURABLE_IDENTITY is 'sudo'; it must be login or set_role."


def test_the_database_does_not_say_whose_rights_steps_have() -> None:
    served = Settings.load({}).with_those_of_database({"identity": "set_role"})

    assert served.identity == "login"
