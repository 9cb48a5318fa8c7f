"""Which statements are queries, and which of those a session prepares."""

import pytest
from psycopg import pq

from pg_durable.lanes.queries import Queries, first_word


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


class Sent:
    """In the place of a session: what is sent to the server."""

    def __init__(self) -> None:
        self.log: list[object] = []
        self.queries = Queries(self)  # type: ignore[arg-type]

    def prepare(self, name: bytes, query: str) -> None:
        self.log.append(("prepare", name, query))

    def execute_prepared(self, name: bytes) -> None:
        self.log.append(name)

    def execute(self, query: str) -> None:
        self.log.append(query)

    def sending(self, query: str, times: int = 6) -> list[object]:
        """What is sent for a query that comes so often."""
        self.log.clear()
        for _ in range(times):
            before = len(self.log)
            assert self.queries.execute(query) == len(self.log) - before - 1
        return list(self.log)


class Refusal:
    """In the place of an answer of the server."""

    def __init__(self, sqlstate: bytes) -> None:
        self._sqlstate = sqlstate

    def error_field(self, field: pq.DiagnosticField) -> bytes:
        return self._sqlstate


def test_a_query_is_prepared_when_it_comes_for_the_fifth_time() -> None:
    sent = Sent()

    first, other = sent.sending("select 1"), sent.sending("select 2")

    name = b"pg_durable_query_1"
    assert first == ["select 1"] * 4 + [("prepare", name, "select 1"), name, name]
    name = b"pg_durable_query_2"
    assert other == ["select 2"] * 4 + [("prepare", name, "select 2"), name, name]
    assert sent.sending("select 3", times=1) == ["select 3"]


@pytest.mark.parametrize("sqlstate", [b"0A000", b"26000", b"08P01"])
def test_one_that_fails_because_it_was_prepared_is_not_any_more(sqlstate: bytes) -> None:
    sent = Sent()
    sent.sending("select 1")

    assert sent.queries.give_up("select 1", Refusal(sqlstate))  # type: ignore[arg-type]

    assert sent.sending("select 1") == ["select 1"] * 6
    assert not sent.queries.give_up("select 1", Refusal(sqlstate))  # type: ignore[arg-type]


def test_one_that_fails_of_itself_stays_prepared() -> None:
    sent = Sent()
    sent.sending("select 1 / 0")

    assert not sent.queries.give_up("select 1 / 0", Refusal(b"22012"))  # type: ignore[arg-type]
    assert not sent.queries.give_up("select 2", Refusal(b"0A000"))  # type: ignore[arg-type]

    assert sent.sending("select 1 / 0", times=2) == [b"pg_durable_query_1"] * 2


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
