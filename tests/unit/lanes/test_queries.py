"""Which statements are queries, and which of those a session prepares."""

from collections.abc import Sequence
from itertools import count

import pytest
from psycopg import pq

from pg_durable.lanes.queries import Queries, first_word
from pg_durable.wire import Wire


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("select 1", "select"),
        ("SELECT 1", "select"),
        ("  \t\n\r\f\vselect 1", "select"),
        ("-- a note\nselect 1", "select"),
        ("-- a note\r set work_mem = 1 --\nselect", "set"),
        ("/* a note */ update t set a = 1", "update"),
        ("/***/ /* / * */with x as (select 1) select 2", "with"),
        ("/* one /* within */ select */ vacuum", ""),
        ("/* no end select 1", ""),
        ("-- nothing else", ""),
        ("- select 1", ""),
        ("(select 1)", ""),
        ("selected", "selected"),
        ("", ""),
        ("\u00a0select 1", ""),
    ],
)
def test_the_first_word_is_what_the_server_reads_first(text: str, word: str) -> None:
    assert first_word(text) == word


def test_a_long_comment_is_passed_in_one_go() -> None:
    assert first_word("/*" + "*" * 100_000 + "/ " * 100_000) == ""
    assert first_word("-- -\n" * 100_000 + "select") == "select"


class Sent(Wire):
    """A session without a server: what is sent."""

    def __init__(self) -> None:
        self._number = count(1)
        self.log: list[object] = []
        self.queries = Queries(self)

    def prepare(self, name: bytes, statement: str, types: Sequence[int] = ()) -> None:
        self.log.append(("prepare", name, statement))

    def execute_prepared(self, name: bytes, *_: object) -> None:
        self.log.append(name)

    def execute(self, statement: str, *_: object) -> None:
        self.log.append(statement)

    def sending(self, query: str, times: int = 6) -> list[object]:
        """What is sent for a query that comes so often."""
        self.log.clear()
        for _ in range(times):
            before = len(self.log)
            assert self.queries.execute(query) == len(self.log) - before - 1
        return list(self.log)


class Refusal:
    """In the place of an answer of the server."""

    def __init__(self, function: bytes, context: bytes | None = None) -> None:
        self._fields = {
            pq.DiagnosticField.SOURCE_FUNCTION: function,
            pq.DiagnosticField.CONTEXT: context,
        }

    def error_field(self, field: pq.DiagnosticField) -> bytes | None:
        return self._fields[field]


def given_up(sent: Sent, query: str, function: bytes, context: bytes | None = None) -> bool:
    """Whether a query is not prepared any more after an error from there."""
    return sent.queries.give_up(query, Refusal(function, context))  # type: ignore[arg-type]


def test_one_that_fails_because_it_was_prepared_is_not_any_more() -> None:
    sent = Sent()
    sent.sending("select 1")

    assert given_up(sent, "select 1", b"RevalidateCachedQuery")

    assert sent.sending("select 1") == ["select 1"] * 6
    assert not given_up(sent, "select 1", b"RevalidateCachedQuery")


def test_one_that_fails_of_itself_stays_prepared() -> None:
    sent = Sent()
    sent.sending("select f()")

    assert not given_up(sent, "select f()", b"int4div")
    assert not given_up(sent, "select f()", b"FetchPreparedStatement", b"PL/pgSQL function f()")
    assert not given_up(sent, "select 2", b"FetchPreparedStatement")

    assert sent.sending("select f()", times=2) == [b"pg_durable_query_1"] * 2


@pytest.mark.parametrize(
    "query",
    [
        "select 'now'::timestamptz",
        "insert into t values ('today', ' TOMORROW 12:00')",
        "select 1 where day < date 'yesterday'",
        "select '{now,today}'::date[], '[now,)'::tstzrange",
        "select $$now$$::timestamptz",
        r"select e'\tnow'::timestamptz",
        r"select u&'\006eow'::timestamptz",
        "select 'r'::regrole",
        "select 'f()'::RegProcedure, regclass 't'",
    ],
)
def test_what_the_server_would_make_a_constant_of_is_not_prepared(query: str) -> None:
    assert Sent().sending(query) == [query] * 6


@pytest.mark.parametrize(
    "query",
    [
        "select now(), current_date, localtimestamp",
        "select NOW () - interval '1 day'",
        "select valid_now, todays, region, regional from t",
        "select nextval('s')",
    ],
)
def test_what_is_found_anew_in_each_run_is_prepared(query: str) -> None:
    assert Sent().sending(query)[-1] == b"pg_durable_query_1"


def test_a_session_prepares_so_many_and_no_long_ones() -> None:
    sent = Sent()

    prepared = [n for n in range(100) if len(sent.sending(f"select {n}")) > 6]
    long = Sent().sending("select 1".ljust(10_000))

    assert prepared == list(range(32))
    assert long == ["select 1".ljust(10_000)] * 6


def test_counting_takes_no_more_room_than_a_thousand_queries() -> None:
    sent = Sent()

    for n in range(10_000):
        sent.sending(f"select {n}", times=1)

    assert len(sent.queries._met) <= 1024
