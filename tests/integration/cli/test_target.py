"""Which database a command means."""

import pytest
from psycopg.conninfo import conninfo_to_dict

from pg_durable.cli.database import split_dsn
from pg_durable.cli.target import LIBPQ_VARIABLES, as_uri, resolve_dsn

EMBEDDED = "host=/run/embedded"


def resolve(given: str | None, running: str | None = EMBEDDED, **environment: str) -> str:
    return resolve_dsn(given, environment=environment, running=lambda: running)


def test_what_was_given_counts_first() -> None:
    assert resolve("host=a", PG_DURABLE_DSN="host=b", PGHOST="c") == "host=a"


def test_an_empty_dsn_given_means_libpqs_defaults() -> None:
    assert resolve("", PG_DURABLE_DSN="host=b") == ""


def test_without_it_pg_durable_dsn_counts() -> None:
    assert resolve(None, PG_DURABLE_DSN="host=b", PGHOST="c") == "host=b"


@pytest.mark.parametrize("name", LIBPQ_VARIABLES)
def test_libpqs_own_variables_go_before_the_embedded_server(name: str) -> None:
    assert resolve(None, **{name: "x"}) == ""


def test_empty_variables_are_no_variables() -> None:
    assert resolve(None, PG_DURABLE_DSN="", PGHOST="") == EMBEDDED


def test_a_running_embedded_server_goes_before_libpqs_defaults() -> None:
    assert resolve(None, PGPASSWORD="x") == EMBEDDED


def test_where_nothing_is_named_and_nothing_runs_libpqs_defaults_count() -> None:
    assert resolve(None, running=None) == ""


@pytest.mark.parametrize(
    "dsn",
    [
        "host=/a/b port=5433 dbname=postgres user=postgres",
        "host=db.example dbname='my base' user='a@b/c'",
        "dbname=x",
    ],
)
def test_a_uri_means_the_same_as_the_keywords_it_is_made_from(dsn: str) -> None:
    assert conninfo_to_dict(as_uri(dsn)) == conninfo_to_dict(dsn)


def test_psql_is_told_by_the_environment_which_shows_no_password() -> None:
    parts = {"host": "h", "user": "u", "password": "secret", "keepalives_idle": "5"}

    variables, rest = split_dsn(parts, service=None)

    assert variables == {"PGHOST": "h", "PGUSER": "u", "PGPASSWORD": "secret"}
    assert rest == "keepalives_idle=5"


def test_psql_is_told_on_the_command_line_what_a_service_would_override() -> None:
    parts = {"host": "h", "password": "secret"}

    variables, rest = split_dsn(parts, service="s")

    assert variables == {"PGPASSWORD": "secret"}
    assert rest == "host=h"
