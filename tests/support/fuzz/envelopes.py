"""Envelopes of real graphs, changed as a faulty program might."""

import json
from copy import deepcopy
from typing import Any

from hypothesis import strategies as st

from support.fuzz.texts import TEXTS

# Graphs with every type of node in them, as SQL expressions.
GRAPHS = (
    "df.sql('select 1')",
    "'select 1 as a' |=> 'one' ~> 'select $one.a'",
    "df.if('select true', 'select 1', 'select 2')",
    "'select 1' |=> 'r' ~> df.if_rows('r', 'select 1', 'select 2')",
    "df.loop('select 1', 'select false')",
    "df.loop(df.break('done'))",
    "df.join('select 1', 'select 2')",
    "df.join3('select 1', df.sleep(0), 'select 2' |=> 'x')",
    "df.join('select 1', 'select 2', 'select 3', 'select 4')",
    "df.race('select 1', df.sleep(1))",
    "df.sleep(0)",
    "df.sleep_until('2020-01-01 00:00:00+00')",
    "df.race(df.wait_for_schedule('* * * * *', 'Europe/Zurich'), 'select 1')",
    "df.wait_for_signal('go', 1)",
    "df.http('http://127.0.0.1:9/{x}', 'GET', headers => '{\"a\": \"b\"}')",
    "df.http_options(df.http('http://127.0.0.1:9/'), 3, false, true)",
    'df.http_multipart(\'http://127.0.0.1:9/\', parts => \'[{"name": "a", "data": "b"}]\')',
)

KEYS = (
    *("node_type", "left_node", "right_node", "condition_node", "extra_nodes", "query"),
    *("result_name", "_partial_if", "then_branch", "condition", "zzz", ""),
    *("seconds", "until", "cron_expr", "time_zone", "signal_name", "timeout_seconds"),
    *("break_value", "condition_type", "url", "method", "body", "headers", "parts", "redirects"),
    *("idempotency_key", "body_base64", "name", "data", "data_b64", "filename", "content_type"),
)
TYPES = (
    *("SQL", "THEN", "IF", "JOIN", "LOOP", "BREAK", "RACE", "SLEEP", "WAIT_SCHEDULE", "HTTP"),
    *("HTTP_MULTIPART", "SIGNAL", "sql", "SLEEP ", "SUBORCHESTRATION", ""),
)


class Raw(str):
    """Text that goes into the JSON as it is."""

    __slots__ = ()


def _deep(open_: str, close: str, levels: int) -> Raw:
    return Raw(open_ * levels + close * levels)


_VALUES: st.SearchStrategy[object] = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([0, -1, 1, 2**31, 2**63, -(2**63), 10**30, 0.5, 1e300])
    | TEXTS
    | st.sampled_from(TYPES)
    | st.sampled_from([[], {}, [[]], [{}], {"node_type": "SQL"}, [None], {"": ""}]).map(deepcopy)
    | st.builds(lambda: {"node_type": "SQL", "query": "select 1"})
    | st.sampled_from(
        [
            *map(Raw, ("1e400", "-0", "1E+5", "NaN", "Infinity", "nul", "'x'", "01", "[1,]")),
            *map(Raw, (r'"\ud800"', r'"\udc00"', r'"\u0000"', r'"\u00e9"', r'"\x"', '"a\nb"')),
            _deep("[", "]", 300),
            _deep("[", "]", 50_000),
            _deep('{"left_node":', "}", 100),
            Raw('"' + "x" * 1_000_000 + '"'),
            Raw("9" * 5000),
        ]
    )
)


def _nodes(value: Any) -> list[Any]:
    """All objects and lists in a value, itself among them."""
    found = [value] if isinstance(value, dict | list) else []
    for item in value.values() if isinstance(value, dict) else value:
        if isinstance(item, dict | list):
            found += _nodes(item)
    return found


@st.composite
def changed(draw: st.DrawFn, envelope: str) -> str:
    """An envelope with up to three changes, as a text that may not even be JSON."""
    value = json.loads(envelope)
    for _ in range(draw(st.integers(1, 3))):
        places = _nodes(value)
        place = places[draw(st.integers(0, len(places) - 1))]
        draw(st.sampled_from(_CHANGES))(draw, place)
    return to_text(value)


def _keys(place: Any) -> list[Any]:
    return list(place) if isinstance(place, dict) else list(range(len(place)))


def _replace(draw: st.DrawFn, place: Any) -> None:
    if keys := _keys(place):
        key = draw(st.sampled_from(keys))
        value = place[key]
        if key == "query" and isinstance(value, str) and draw(st.booleans()):
            place[key] = draw(_within(value))
        else:
            place[key] = draw(_VALUES)


def _remove(draw: st.DrawFn, place: Any) -> None:
    if keys := _keys(place):
        del place[draw(st.sampled_from(keys))]


def _add(draw: st.DrawFn, place: Any) -> None:
    key, value = draw(st.sampled_from(KEYS)), draw(_VALUES)
    if isinstance(place, dict):
        place[key] = value
    else:
        place.append(value)


def _retype(draw: st.DrawFn, place: Any) -> None:
    if isinstance(place, dict):
        place["node_type"] = draw(st.sampled_from(TYPES))


_CHANGES = (_replace, _replace, _remove, _add, _retype)


@st.composite
def _within(draw: st.DrawFn, query: str) -> object:
    """The configuration in a query, with one change in it."""
    try:
        config = json.loads(query)
    except ValueError:
        return draw(_VALUES)
    if not isinstance(config, dict):
        return draw(_VALUES)
    draw(st.sampled_from((_replace, _remove, _add)))(draw, config)
    return to_text(config)


def to_text(value: object) -> str:
    """JSON, with raw pieces in it."""
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(k)}:{to_text(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(to_text, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
