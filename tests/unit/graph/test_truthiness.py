import pytest

from pg_durable.graph.json_text import dump
from pg_durable.graph.truthiness import is_true


def row_set(*values: str) -> str:
    rows = ",".join(f'{{"c":{value}}}' for value in values)
    return f'{{"rows":[{rows}],"row_count":{len(values)}}}'


VALUES = [
    # boolean: itself
    ("true", True),
    ("false", False),
    # number: true unless zero
    ("1", True),
    ("-1", True),
    ("0.5", True),
    ("0", False),
    ("-0", False),
    ("0.0", False),
    ("0e7", False),
    ("1e-999", True),
    ("9223372036854775808", True),
    # string: blank
    ('""', False),
    ('"  \\n"', False),
    # string: words, trimmed and lower-cased
    ('"true"', True),
    ('"t"', True),
    ('" YES "', True),
    ('"false"', False),
    ('"F"', False),
    ('" No\\t"', False),
    # string: readable as a number
    ('"0"', False),
    ('"0.0"', False),
    ('"-0"', False),
    ('"+0."', False),
    ('".0"', False),
    ('"0e3"', False),
    ('"1e3"', True),
    ('"inf"', True),
    ('"nan"', True),
    ('"0.00"', False),
    (f'"0.{"0" * 400}1"', True),
    # string: anything else
    ('"on"', True),
    ('"off"', True),
    ('"y"', True),
    ('"n"', True),
    ('"abc"', True),
    ('"0x0"', True),
    ('"0_0"', True),
    ('"."', True),
    ('"٠"', True),
    # null
    ("null", False),
    # array, object: true unless empty
    ("[0]", True),
    ("[]", False),
    ('{"a":false}', True),
    ("{}", False),
]


@pytest.mark.parametrize(("value", "expected"), VALUES)
def test_the_first_column_of_the_first_row_decides(value: str, expected: bool) -> None:
    assert is_true(row_set(value, "true" if not expected else "false")) is expected


@pytest.mark.parametrize(("value", "expected"), VALUES)
def test_any_other_json_is_judged_whole(value: str, expected: bool) -> None:
    assert is_true(value) is expected


def test_the_first_column_is_that_of_the_query() -> None:
    assert is_true('{"rows":[{"z":false,"a":true}],"row_count":1}') is False
    assert is_true('{"rows":[{"z":true,"a":false}],"row_count":1}') is True


def test_a_row_set_without_rows_is_false() -> None:
    assert is_true('{"rows":[],"row_count":0}') is False
    assert is_true('{"rows":[],"row_count":0,"rows_affected":3}') is False


@pytest.mark.parametrize("rows", ["[{}]", "[1]", "[null]", "5", "null", '"[]"'])
def test_an_object_whose_rows_have_no_first_column_is_true(rows: str) -> None:
    assert is_true(f'{{"rows":{rows}}}') is True


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", False), ("  ", False), ("no", False), ("F", False), ("off", True), ("NaN", True),
     ("+0", False), (".5", True), ("Infinity", True), ("{broken", True)],
)  # fmt: skip
def test_text_that_is_not_json_is_judged_as_a_string(text: str, expected: bool) -> None:
    assert is_true(text) is expected


@pytest.mark.parametrize(
    "result",
    [
        {"signal_name": "go", "timed_out": True, "data": None},
        {"status": 404, "body": "", "ok": False},
        {"slept": True, "seconds": 0},
        [{"rows": [], "row_count": 0}, {"rows": [], "row_count": 0}],
    ],
    ids=["signal timed out", "http call", "sleep", "join"],
)
def test_a_signal_http_call_sleep_or_join_is_true(result: object) -> None:
    assert is_true(dump(result)) is True
