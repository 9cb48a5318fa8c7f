"""Which statements are queries, and which of those a session prepares."""

import pytest

from pg_durable.lanes.queries import Repeated, first_word


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


def meet_often(repeated: Repeated, query: str) -> list[bytes | None]:
    """Which name it is to be prepared by, each of the first six times."""
    return [repeated.meet(query) for _ in range(6)]


def test_a_query_is_prepared_when_it_is_met_for_the_fifth_time() -> None:
    repeated = Repeated()

    first, *others = meet_often(repeated, "select 1"), meet_often(repeated, "select 2")

    assert first == [None, None, None, None, b"pg_durable_query_1", None]
    assert others == [[None, None, None, None, b"pg_durable_query_2", None]]
    assert repeated.name("select 1") == b"pg_durable_query_1"
    assert repeated.name("select 3") is None


def test_one_that_was_given_up_is_not_prepared_again() -> None:
    repeated = Repeated()
    meet_often(repeated, "select 1")

    repeated.give_up("select 1")

    assert repeated.name("select 1") is None
    assert meet_often(repeated, "select 1") == [None] * 6


def test_a_session_prepares_so_many_and_no_long_ones() -> None:
    repeated = Repeated()

    names = [name for n in range(100) for name in meet_often(repeated, f"select {n}") if name]
    long = meet_often(Repeated(), "select 1".ljust(10_000))

    assert len(names) == 32
    assert long == [None] * 6


def test_counting_takes_no_more_room_than_a_thousand_queries() -> None:
    repeated = Repeated()

    for n in range(10_000):
        repeated.meet(f"select {n}")

    assert len(repeated._met) <= 1024
