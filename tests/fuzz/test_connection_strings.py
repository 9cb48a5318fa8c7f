"""Connection strings that are none: one clear line, and never a password in it."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pg_durable.errors import ServerUnavailable
from pg_durable.wire.dsn import parse_dsn, step_dsn, worker_dsn
from support.fuzz.profile import examples
from support.fuzz.texts import TEXTS, mutated

PASSWORD = "Tr0ub4dor"
_DSNS = st.sampled_from(
    [
        f"postgresql://u:{PASSWORD}@h:5432/db?sslmode=prefer",
        f"postgres://u:{PASSWORD}@[::1]:5432,h:1/db?target_session_attrs=any",
        f"postgresql:///db?host=/tmp&password={PASSWORD}",
        f"host=h port=5432 dbname=db user=u password={PASSWORD} connect_timeout=3",
        f"host=h password='{PASSWORD}' options='-c search_path=x'",
        f"service=s password = {PASSWORD}",
    ]
)


@examples(500)
@given(dsn=mutated(_DSNS))
@example(dsn=f"postgresql://u:{PASSWORD}@[::1/db")
@example(dsn=f"postgresql://u:%zz{PASSWORD}@h/db")
@example(dsn=f"mysql://u:{PASSWORD}@h/db")
@example(dsn=f"password=a {PASSWORD}")
@example(dsn=f"postgresql://u:p@[::1]{PASSWORD}/db")
@example(dsn=f"postgresql://h/db?password={PASSWORD}=x")
def test_a_broken_connection_string_is_refused_without_its_password(dsn: str) -> None:
    try:
        parse_dsn(dsn)
    except ServerUnavailable as error:
        words = str(error)

        assert PASSWORD not in words
        assert "\n" not in words.strip()


@examples(200)
@given(dsn=mutated(_DSNS), role=TEXTS, database=st.none() | TEXTS)
def test_what_can_be_read_can_be_made_a_session_of_a_role(
    dsn: str, role: str, database: str | None
) -> None:
    try:
        parse_dsn(dsn)
    except ServerUnavailable:
        return

    assert parse_dsn(worker_dsn(dsn, "poll"))["client_encoding"] == "UTF8"
    parts = parse_dsn(step_dsn(dsn, role, database))

    assert parts.get("user", "") == role
    assert database is None or parts.get("dbname", "") == database
    if role != "u":
        assert PASSWORD not in parts.values()


def test_an_unknown_option_is_named() -> None:
    with pytest.raises(ServerUnavailable, match='invalid connection option "wrong"'):
        parse_dsn("host=h wrong=1")
