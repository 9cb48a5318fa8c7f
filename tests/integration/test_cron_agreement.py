"""A schedule is checked in SQL when a graph is built, and read in Python when it runs."""

from datetime import UTC, datetime

import psycopg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pg_durable.errors import InvalidWorkflow
from pg_durable.graph.cron import next_tick

_NUMBERS = st.sampled_from(
    [
        *("0", "1", "2", "5", "7", "8", "12", "13", "23", "24", "28", "29", "30", "31", "32"),
        *("59", "60", "05", "007", "1969", "1970", "2027", "2028", "2096", "2100", "2101"),
        *("999999999", "1000000000"),
    ]
)
_NAMES = st.sampled_from(
    [
        *("sun", "mon", "Tues", "thurs", "thur", "FRIDAY", "saturday", "sund", "jan", "feb"),
        *("June", "sept", "december", "x", "L", "W", "ſun"),
    ]
)
_VALUES = _NUMBERS | _NUMBERS | _NAMES
_RANGES = st.builds("{}-{}".format, _VALUES, _VALUES)
_STARS = st.sampled_from(["*", "*", "*", "?", "**"])
_ITEMS = _STARS | _VALUES | _RANGES
_STEPS = st.builds("{}/{}".format, _ITEMS, _NUMBERS)
_ODD = st.sampled_from(["", "-", "/", ",", "5#2", "15W", "5L", "+1", "1.0", "1-2-3", "1/2/3", "٣"])
_TERMS = st.one_of(*[_STARS] * 3, *[_ITEMS] * 3, _STEPS, _ODD)
_FIELDS = st.lists(_TERMS, min_size=1, max_size=3).map(",".join)
_BLANKS = st.sampled_from([" ", " ", " ", " ", "  ", "\t", "\n", "\xa0"])


def _numbers(first: int, last: int) -> st.SearchStrategy[str]:
    value = st.integers(first, last)
    span = st.tuples(value, value).map(lambda ends: f"{min(ends)}-{max(ends)}")
    stepped = st.builds("{}/{}".format, span | value | st.just("*"), st.integers(1, 70))
    term = st.one_of(st.just("*"), value.map(str), span, stepped)
    return st.lists(term, min_size=1, max_size=2).map(",".join)


# Good ones, of which some have no date; such with one field that may be anything; and freer still.
_GOOD = [_numbers(*ends) for ends in ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7), (1970, 2100))]
_SCARCE = [
    *(st.just("0"), st.just("0"), st.sampled_from(["29", "30", "31", "30-31", "*/28,29", "*/29"])),
    *(st.sampled_from(["2", "feb", "2,4", "feb/12"]), st.sampled_from(["*", "mon", "*/7", "?"])),
    st.sampled_from(["*", "2023", "2024", "2023-2027/4", "2096-2103", "2096-2100", "2097/1"]),
]


def _joined(fields: list[st.SearchStrategy[str]]) -> st.SearchStrategy[str]:
    return st.tuples(*fields).map(" ".join) | st.tuples(*fields[:5]).map(" ".join)


_NEARLY = st.integers(0, 5).flatmap(
    lambda n: _joined([_FIELDS if place == n else field for place, field in enumerate(_GOOD)])
)
_FREE = st.lists(st.tuples(_FIELDS, _BLANKS).map("".join), max_size=7).map("".join)
_NICKNAMES = st.sampled_from(["@daily", "@Weekly", " @hourly ", "@reboot", "@", "@yearly *"])
EXPRESSIONS = st.one_of(_joined(_GOOD), _joined(_SCARCE), _NEARLY, _NEARLY, _FREE, _NICKNAMES)


def _python_accepts(expr: str) -> bool:
    try:
        next_tick(expr, None, datetime(2026, 11, 22, tzinfo=UTC))
    except InvalidWorkflow:
        return False
    return True


@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(expressions=st.lists(EXPRESSIONS, min_size=20, max_size=40))
def test_sql_accepts_exactly_the_schedules_that_a_worker_can_read(
    database: str, expressions: list[str]
) -> None:
    with psycopg.connect(database) as connection:
        rows = connection.execute(
            "select e, df._cron_problem(e) is null from unnest(%s::text[]) e", (expressions,)
        ).fetchall()

    assert rows == [(expr, _python_accepts(expr)) for expr in expressions]


def test_a_worker_knows_the_time_zones_that_sql_accepts(database: str) -> None:
    zones = ["UTC", "Europe/Zurich", "America/Argentina/Buenos_Aires", "Etc/GMT+5", "EST5EDT"]

    with psycopg.connect(database) as connection:
        rows = connection.execute(
            "select z from unnest(%s::text[]) z where df._zone_problem(z) is null", (zones,)
        ).fetchall()

    assert [zone for (zone,) in rows] == zones
    for zone in zones:
        assert next_tick("@daily", zone, datetime(2026, 11, 22, tzinfo=UTC))
