"""Connection strings of the worker's and the roles' sessions."""

import pytest
from psycopg.conninfo import conninfo_to_dict

from pg_durable.errors import ServerUnavailable
from pg_durable.wire.dsn import parse_dsn, set_role_dsn, step_dsn, worker_dsn


def test_a_step_logs_in_as_the_role_and_never_with_the_workers_password() -> None:
    parts = conninfo_to_dict(step_dsn("host=h user=w password=secret dbname=d", "some role", None))

    assert (parts["user"], parts["password"], parts["dbname"]) == ("some role", "", "d")


def test_the_workers_own_role_keeps_its_password() -> None:
    parts = conninfo_to_dict(step_dsn("host=h user=w password=secret", "w", "elsewhere"))

    assert (parts["password"], parts["dbname"]) == ("secret", "elsewhere")


def test_a_session_that_takes_a_role_logs_in_as_the_worker_with_the_defaults_of_the_role() -> None:
    defaults = {"search_path": '"$user", app', "app.path": "c:\\x", "timezone": "Asia/Kathmandu"}

    parts = conninfo_to_dict(set_role_dsn("host=h user=w password=secret", defaults, "elsewhere"))

    assert (parts["user"], parts["password"], parts["dbname"]) == ("w", "secret", "elsewhere")
    assert ' -c search_path="$user",\\ app -c app.path=c:\\\\x -c timezone=UTC ' in str(
        parts["options"]
    )


def test_the_users_options_are_kept_and_ours_come_after_them() -> None:
    parts = conninfo_to_dict(worker_dsn("host=h options='-c work_mem=1MB'", "poll"))

    assert " -c work_mem=1MB -c search_path=pg_catalog,pg_temp " in str(parts["options"])
    assert parts["application_name"] == "pg_durable:worker:poll"


def test_a_string_that_is_no_connection_string_is_refused_with_the_way_out() -> None:
    with pytest.raises(ServerUnavailable, match="Use a URI"):
        parse_dsn("no such thing")
