import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pg_durable.graph.json_text import parse
from pg_durable.graph.results import NATIVE_OIDS, Column, encode, is_native

BOOL, INT2, INT4, INT8, FLOAT4, FLOAT8 = 16, 21, 23, 20, 700, 701
TEXT, VARCHAR, BPCHAR, NAME, CHAR, UNKNOWN = 25, 1043, 1042, 19, 18, 705
NUMERIC, UUID, DATE, TIMESTAMP, TIMESTAMPTZ = 1700, 2950, 1082, 1114, 1184
JSON, JSONB, VOID = 114, 3802, 2278


def columns(**types: int) -> list[Column]:
    return [Column(name=name, type_oid=oid) for name, oid in types.items()]


def encoded(oid: int, value: bytes | None) -> str:
    text = encode(columns(v=oid), [(value,)])
    before, after = '{"rows":[{"v":', '}],"row_count":1}'
    assert text.startswith(before)
    assert text.endswith(after)
    return text[len(before) : -len(after)]


def test_a_result_is_compact_and_keeps_the_order_of_the_query() -> None:
    rows = [(b"1", b"O'Hara"), (b"2", None)]

    result = encode(columns(b=INT4, a=TEXT), rows)

    assert result == '{"rows":[{"b":1,"a":"O\'Hara"},{"b":2,"a":null}],"row_count":2}'


def test_no_row_gives_an_empty_row_set() -> None:
    assert encode(columns(a=INT4), []) == '{"rows":[],"row_count":0}'


def test_rows_affected_is_told_only_when_given() -> None:
    assert encode([], [], rows_affected=3) == '{"rows":[],"row_count":0,"rows_affected":3}'
    assert encode([], [], rows_affected=0) == '{"rows":[],"row_count":0,"rows_affected":0}'
    assert encode([], []) == '{"rows":[],"row_count":0}'


def test_rows_may_have_no_columns() -> None:
    assert encode([], [(), ()]) == '{"rows":[{},{}],"row_count":2}'


def test_rows_may_come_from_an_iterator() -> None:
    rows = (((b"%d" % number),) for number in range(3))

    assert encode(columns(n=INT4), rows) == '{"rows":[{"n":0},{"n":1},{"n":2}],"row_count":3}'


def test_of_columns_with_the_same_name_the_last_wins_in_the_place_of_the_first() -> None:
    same = [
        Column(name="a", type_oid=INT4),
        Column(name="b", type_oid=INT4),
        Column(name="a", type_oid=TEXT),
    ]

    result = encode(same, [(b"1", b"2", b"x")])

    assert result == '{"rows":[{"a":"x","b":2}],"row_count":1}'


@pytest.mark.parametrize("name", ["?column?", "100%", "%b", 'a"b', "é", "back\\slash", ""])
def test_any_column_name_is_a_key(name: str) -> None:
    result = encode([Column(name=name, type_oid=INT4)], [(b"1",)])

    assert json.loads(result)["rows"] == [{name: 1}]


@pytest.mark.parametrize(
    ("oid", "value", "expected"),
    [
        (BOOL, b"t", "true"),
        (BOOL, b"f", "false"),
        (INT2, b"-7", "-7"),
        (INT4, b"2147483647", "2147483647"),
        (INT8, b"-9223372036854775808", "-9223372036854775808"),
        (FLOAT4, b"3.14", "3.14"),
        (FLOAT8, b"1", "1.0"),
        (FLOAT8, b"-0", "-0.0"),
        (FLOAT8, b"0.30000000000000004", "0.30000000000000004"),
        (FLOAT8, b"1e+20", "1e+20"),
        (FLOAT8, b"1.5e-07", "1.5e-07"),
        (FLOAT4, b"NaN", "null"),
        (FLOAT8, b"Infinity", "null"),
        (FLOAT8, b"-Infinity", "null"),
        (TEXT, b'say "hi"\\\n', '"say \\"hi\\"\\\\\\n"'),
        (TEXT, "é☃😀".encode(), '"é☃😀"'),
        (VARCHAR, b"", '""'),
        (BPCHAR, b"ab   ", '"ab   "'),
        (NAME, b"pg_class", '"pg_class"'),
        (NUMERIC, b"19.99", '"19.99"'),
        (NUMERIC, b"1" * 50, f'"{"1" * 50}"'),
        (NUMERIC, b"NaN", '"NaN"'),
        (NUMERIC, b"-Infinity", '"-Infinity"'),
        (UUID, b"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", '"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"'),
        (DATE, b"2024-05-01", '"2024-05-01"'),
        (DATE, b"infinity", '"infinity"'),
        (JSON, b'{"a":1.0}', '{"a":1.0}'),
        (JSONB, b'{"a": [1, 2.50], "b": "x  y"}', '{"a":[1,2.50],"b":"x  y"}'),
        (JSONB, b"12345678901234567890.123450", "12345678901234567890.123450"),
        (JSON, b' [\n1 ,\t"a\\" b" ]\r\n', '[1,"a\\" b"]'),
        (VOID, b"", "null"),
        (CHAR, b"x", '"x"'),
        (17, b"\\xdeadbeef", '"\\\\xdeadbeef"'),
        (1186, b"1 day 02:03:04", '"1 day 02:03:04"'),
        (1083, b"10:00:00.5", '"10:00:00.5"'),
        (26, b"26", '"26"'),
        (2205, b"pg_class", '"pg_class"'),
        (869, b"10.0.0.1/8", '"10.0.0.1/8"'),
        (790, b"$12.34", '"$12.34"'),
        (3904, b"[1,5)", '"[1,5)"'),
        (4451, b"{[1,5)}", '"{[1,5)}"'),
    ],
)
def test_each_type_has_its_json(oid: int, value: bytes, expected: str) -> None:
    assert is_native(oid)
    assert encoded(oid, value) == expected
    assert encoded(oid, None) == "null"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"2024-05-01 10:00:00", "2024-05-01T10:00:00"),
        (b"2024-05-01 10:00:00.12", "2024-05-01T10:00:00.120"),
        (b"2024-05-01 10:00:00.123", "2024-05-01T10:00:00.123"),
        (b"2024-05-01 10:00:00.1234", "2024-05-01T10:00:00.123400"),
        (b"2024-05-01 10:00:00.123456", "2024-05-01T10:00:00.123456"),
        (b"20000-01-01 00:00:00", "20000-01-01T00:00:00"),
        (b"0044-03-15 10:00:00.5 BC", "0044-03-15T10:00:00.500 BC"),
        (b"infinity", "infinity"),
        (b"-infinity", "-infinity"),
        (b"Wed May 01 10:00:00 2024", "Wed May 01 10:00:00 2024"),
    ],
)
def test_a_timestamp_is_written_as_iso_8601(value: bytes, expected: str) -> None:
    assert encoded(TIMESTAMP, value) == f'"{expected}"'


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"2024-05-01 10:00:00+00", "2024-05-01T10:00:00+00:00"),
        (b"2024-05-01 10:00:00.12+00", "2024-05-01T10:00:00.120+00:00"),
        (b"2024-05-01 10:00:00.1234+00", "2024-05-01T10:00:00.123400+00:00"),
        (b"2024-05-01 01:00:00.5+05:30", "2024-04-30T19:30:00.500+00:00"),
        (b"2024-12-31 19:00:00-05", "2025-01-01T00:00:00+00:00"),
        (b"1900-01-01 00:19:32+00:19:32", "1900-01-01T00:00:00+00:00"),
        (b"20000-01-01 00:00:00+00", "20000-01-01T00:00:00+00:00"),
        (b"20000-01-01 01:00:00+01", "20000-01-01T01:00:00+01:00"),
        (b"0001-01-01 00:19:32+05:53:28", "0001-01-01T00:19:32+05:53:28"),
        (b"9999-12-31 23:00:00-05", "9999-12-31T23:00:00-05:00"),
        (b"0044-03-15 10:00:00+00 BC", "0044-03-15T10:00:00+00:00 BC"),
        (b"0044-03-15 10:00:00+02 BC", "0044-03-15T10:00:00+02:00 BC"),
        (b"infinity", "infinity"),
        (b"-infinity", "-infinity"),
        (b"01/05/2024 10:00:00 UTC", "01/05/2024 10:00:00 UTC"),
    ],
)
def test_a_timestamptz_is_written_in_utc_where_the_calendar_allows(
    value: bytes, expected: str
) -> None:
    assert encoded(TIMESTAMPTZ, value) == f'"{expected}"'


@pytest.mark.parametrize("oid", [1007, 1009, 2249, 2287, 2277, 30, 22, 16384, 99999])
def test_arrays_composites_and_user_types_are_left_to_the_server(oid: int) -> None:
    assert not is_native(oid)


def test_every_type_the_specification_names_is_native() -> None:
    named = {BOOL, INT2, INT4, INT8, FLOAT4, FLOAT8, TEXT, VARCHAR, BPCHAR, NAME, NUMERIC, UUID}

    assert named | {TIMESTAMP, TIMESTAMPTZ, DATE, JSON, JSONB, VOID, UNKNOWN} <= NATIVE_OIDS


def test_a_type_that_was_not_converted_becomes_a_string() -> None:
    assert encoded(99999, b"(1,a)") == '"(1,a)"'


def test_bytes_that_are_not_utf8_become_replacement_characters() -> None:
    assert encoded(TEXT, b"caf\xe9") == '"caf\ufffd"'
    assert encoded(JSON, b'{"a":"\xe9"}') == '{"a":"\ufffd"}'


@given(st.lists(st.tuples(st.binary() | st.none(), st.binary() | st.none())))
def test_arbitrary_bytes_give_valid_json(rows: list[tuple[bytes | None, bytes | None]]) -> None:
    result = encode(columns(a=TEXT, b=NUMERIC), rows)

    expected = [
        {key: None if value is None else value.decode(errors="replace") for key, value in pairs}
        for pairs in (zip("ab", row, strict=True) for row in rows)
    ]
    assert json.loads(result) == {"rows": expected, "row_count": len(rows)}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text('ab "\\{}[]:,\n'), inner),
    max_leaves=10,
)


@given(json_values, st.sampled_from([None, 1, "\t"]), st.booleans())
def test_a_json_document_means_the_same_without_its_blanks(
    value: object, indent: int | str | None, ascii_only: bool
) -> None:
    document = json.dumps(value, indent=indent, ensure_ascii=ascii_only)

    result = encoded(JSON, document.encode())

    assert json.loads(result) == value
    assert result == json.dumps(value, separators=(",", ":"), ensure_ascii=ascii_only)


@given(st.from_regex(r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,30})?", fullmatch=True))
def test_numbers_keep_their_digits_from_the_server_to_the_reader(digits: str) -> None:
    result = encode(columns(n=NUMERIC, j=JSON), [(digits.encode(), digits.encode())])

    assert parse(result) == {"rows": [{"n": digits, "j": digits}], "row_count": "1"}
