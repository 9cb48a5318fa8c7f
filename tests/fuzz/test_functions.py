"""Every function that users may call, with arguments of every kind; and the tables and doors."""

from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.fuzz.envelopes import GRAPHS
from support.fuzz.profile import examples
from support.fuzz.served import Served
from support.fuzz.texts import TEXTS, mutated
from support.fuzz.verdict import assert_clear, assert_not_internal

_FUNCTIONS = """
select p.proname, array(select format_type(t, null) from unnest(p.proargtypes) t),
  p.provariadic <> 0
from pg_proc p
where p.pronamespace = 'df'::regnamespace
  and has_function_privilege(p.oid, 'execute')
  and p.prorettype <> 'trigger'::regtype
  and p.proname not in ('await_instance', 'wait_for_completion')
order by p.proname, p.oid
"""

_NONE = st.none()
_INTEGERS = _NONE | st.sampled_from([0, 1, -1, 2, 30, 2**31 - 1, -(2**31)])
_JSON = _NONE | st.sampled_from(
    [
        *("{}", "[]", "null", "1", '"x"', '{"a":"b"}', '{"a":1}', '[{"name":"a","data":"b"}]'),
        *("[{}]", "[1]", '{"":""}', '{"A":"b","a":"c"}', '{"host":"x"}', '[{"a":{"b":[1]}}]'),
    ]
)
_INTERVALS = st.sampled_from(
    ["0", "-1 s", "1 day", "178000000 years", "-178000000 years", "0.0000001 s"]
)
_INSTANTS = st.sampled_from(
    ["infinity", "-infinity", "now", "4713-01-01 BC", "294276-12-31", "0001-01-01 BC"]
)
_NEARLY = mutated(
    st.sampled_from(
        [
            *("select 1", "5 s", "0 0 * * 1-5", "Europe/Zurich", "http://h/p?q#f", "POST", "a_b"),
            *("'a' ~> df.sleep(1)", "df.sql('x')", "caller", "new", "completed", "public, h:80"),
        ]
    )
)


def _arguments(texts: st.SearchStrategy[Any]) -> dict[str, st.SearchStrategy[Any]]:
    """Values for each type of argument."""
    texts = _NONE | texts
    return {
        **dict.fromkeys(("text", "name"), texts),
        **dict.fromkeys(("integer", "smallint"), _INTEGERS),
        "bigint": _INTEGERS | st.sampled_from([2**63 - 1, -(2**63)]),
        "boolean": _NONE | st.booleans(),
        **dict.fromkeys(("json", "jsonb"), _JSON),
        "interval": _NONE | _INTERVALS,
        "timestamp with time zone": _NONE | _INSTANTS,
        "text[]": _NONE | st.lists(texts, max_size=4),
        "integer[]": st.lists(_INTEGERS, max_size=3),
    }


def test_functions_take_any_argument_or_refuse_it_in_clear_words(world: Served) -> None:
    world.user.execute("set statement_timeout = '30s'")
    ids = [world.scalar(f"select df.start({what})", by=world.user)
           for what in ("'select 1'", "df.wait_for_signal('x')")]  # fmt: skip
    graphs = [world.scalar("select " + graph, by=world.user) for graph in GRAPHS]
    arguments = _arguments(TEXTS | _NEARLY | st.sampled_from([*ids, *graphs]))
    functions = [
        (name, types, variadic)
        for name, types, variadic in world.user.execute(_FUNCTIONS).fetchall()
        if arguments.keys() >= set(types)
    ]
    calls = st.sampled_from(functions).flatmap(
        lambda f: st.tuples(st.just(f), st.tuples(*[arguments[type_] for type_ in f[1]]))
    )

    @examples(300)
    @given(call=calls)
    def make(call: tuple[tuple[str, list[str], bool], tuple[object, ...]]) -> None:
        (name, types, variadic), values = call
        places = [f"%s::{type_}" for type_ in types]
        if variadic:
            places[-1] = "variadic " + places[-1]
        try:
            world.user.execute(f"select df.{name}({', '.join(places)})", values)
        except psycopg.Error as error:
            assert_not_internal(error, name)
            # What df.explain evaluates is the caller's own expression.
            if not name.startswith("_") and not (
                name == "explain" and (error.sqlstate or "").startswith("42")
            ):
                assert_clear(error, name)

    make()
    world.assert_serves_others()


@pytest.mark.parametrize(
    ("door", "columns"),
    [
        ("vars", ("name", "value")),
        ("_start", ("fut", "label", "database")),
        ("_signal", ("instance_id", "signal_name", "signal_data")),
        ("_cancel", ("instance_id", "reason")),
        ("_unset", ("name",)),
        ("_secret", ("name", "value")),
    ],
)
def test_doors_take_any_text_or_refuse_it_in_clear_words(
    world: Served, door: str, columns: tuple[str, ...]
) -> None:
    waiting = world.scalar("select df.start(df.wait_for_signal('x', 3600))", by=world.user)
    texts = _NONE | TEXTS | st.just(waiting)
    places = ", ".join(["%s"] * len(columns))

    @examples(40)
    @given(row=st.tuples(*[texts] * len(columns)))
    def write(row: tuple[str | None, ...]) -> None:
        try:
            world.user.execute(
                f"insert into df.{door} ({', '.join(columns)}) values ({places})", row
            )
        except psycopg.Error as error:
            if door != "vars":  # a table, which answers for itself
                assert_clear(error, door)

    write()
    world.assert_serves_others()
