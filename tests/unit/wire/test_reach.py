"""Which server a connection string leads to, and how soon a silent one is given up."""

import pytest

from pg_durable.wire.dsn import parse_dsn, step_dsn, worker_dsn
from pg_durable.wire.reach import reach


def test_a_worker_looks_for_the_primary_whatever_was_asked_for() -> None:
    for given in ("", "target_session_attrs=read-write", "target_session_attrs=any"):
        own = parse_dsn(worker_dsn(f"host=a,b {given}", "poll"))
        of_a_step = parse_dsn(step_dsn(f"host=a,b {given}", "role", None))

        assert own["target_session_attrs"] == of_a_step["target_session_attrs"] == "primary"


def test_what_the_user_gives_counts_more_than_our_patience() -> None:
    given = "host=h connect_timeout=60 tcp_user_timeout=1 keepalives_idle=99"

    parts = parse_dsn(worker_dsn(given, "poll"))

    assert parts["connect_timeout"] == "60"
    assert (parts["tcp_user_timeout"], parts["keepalives_idle"]) == ("1", "99")


def test_the_users_options_for_the_server_count_more_than_our_patience() -> None:
    options = parse_dsn(worker_dsn("options='-c tcp_user_timeout=1'", "poll"))["options"]

    assert options.index("tcp_user_timeout=10000") < options.index("tcp_user_timeout=1 ")


def test_one_of_several_hosts_is_given_up_sooner_than_the_only_one() -> None:
    alone, several = reach({"host": "a"}), reach({"host": "a,b"})

    assert int(several["connect_timeout"]) < int(alone["connect_timeout"])


def test_the_environment_of_libpq_counts_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "a,b")
    monkeypatch.setenv("PGCONNECT_TIMEOUT", "60")
    monkeypatch.setenv("PGTARGETSESSIONATTRS", "standby")

    parts = reach({})

    assert "connect_timeout" not in parts
    assert "target_session_attrs" not in parts


def test_a_client_looks_for_the_primary_of_several_and_takes_one_as_it_is() -> None:
    assert reach({"host": "a,b"})["target_session_attrs"] == "primary"
    assert "target_session_attrs" not in reach({"host": "a"})
    assert reach({"host": "a,b", "target_session_attrs": "any"})["target_session_attrs"] == "any"
