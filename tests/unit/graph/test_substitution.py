import re
from collections.abc import Callable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pg_durable.errors import LimitExceeded, ReferenceFailed
from pg_durable.graph.json_text import dump
from pg_durable.graph.substitution import fill_raw, fill_sql, fill_variables

ORDER = '{"rows":[{"id":7,"who":"O\'Hara","tags":["a"]}],"row_count":1}'
EMPTY = '{"rows":[],"row_count":0}'
HTTP = '{"status":200,"body":"it\'s","headers":{"etag":"x"},"ok":true,"encoding":null}'

Fill = Callable[[str, Mapping[str, str]], str]

plain_texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,3}", fullmatch=True)


def one(value: object) -> str:
    """Give a row set whose only value is `value`, in the column `v`."""
    return dump({"rows": [{"v": value}], "row_count": 1})


def json_one(value: str) -> str:
    return f'{{"rows":[{{"v":{value}}}],"row_count":1}}'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("select '{city}'", "select 'Oslo'"),
        ("{city}{city}", "OsloOslo"),
        ('{"k":"{city}"}', '{"k":"Oslo"}'),
        ("{{city}}", "{Oslo}"),
        ("{unknown} {City} { city } {}", "{unknown} {City} { city } {}"),
        ("{city", "{city"),
        ("{9} {a-b} {é}", "{9} {a-b} {é}"),
        ("{other} {_x9}", "{city} it's"),
        ("no brace", "no brace"),
    ],
)
def test_a_known_variable_is_replaced_as_raw_text(text: str, expected: str) -> None:
    assert fill_variables(text, {"city": "Oslo", "other": "{city}", "_x9": "it's"}) == expected


@given(st.lists(st.sampled_from(["{", "}", "{a}", "{b}", "a", "x"])).map("".join))
def test_values_of_variables_are_never_scanned_again(text: str) -> None:
    filled = fill_variables(text, {"a": "{b}", "b": "{a}"})

    swapped = {"{a}": "{b}", "{b}": "{a}"}
    assert filled == re.sub(r"\{a\}|\{b\}", lambda match: swapped[match[0]], text)


def test_without_variables_the_text_is_unchanged() -> None:
    assert fill_variables("{a}", {}) == "{a}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$a", "1"),
        ("$ab", "2"),
        ("$abc", "$abc"),
        ("$a_b", "$a_b"),
        ("$a9", "$a9"),
        ("$A", "$A"),
        ("$a,$ab;", "1,2;"),
        ("$a$ab", "12"),
        ("$a.", "1."),
        ("$a. v", "1. v"),
        ("$a.9", "1.9"),
        ("$a.v", "1"),
        ("$a.v.z", "1.z"),
        ("$a?", "1"),
        ("$a.v?", "1"),
        ("$a.v??", "1?"),
        ("$a??", "1?"),
        ("$ab?c", "2c"),
        ("$aé", "1é"),
        ("$1 $ $$ a$", "$1 $ $$ a$"),
        ("$$a", "$1"),
        ("part_$a", "part_1"),
        ("$unknown.* $unknown.v? $unknown?", "$unknown.* $unknown.v? $unknown?"),
        ("'$a' -- $ab", "'1' -- 2"),
    ],
)
def test_the_longest_stored_name_that_fits_is_replaced(text: str, expected: str) -> None:
    stored = {"a": one(1), "ab": one(2)}

    assert fill_sql(text, stored) == expected
    assert fill_raw(text, stored) == expected


def test_a_shorter_name_is_taken_when_the_longer_does_not_fit() -> None:
    stored = {"a": '{"rows":[{"b":1}]}', "a.b": "2"}

    assert fill_sql("$a.bc? $a.b", {"a": '{"rows":[{"bc":1}]}', "a.b": "2"}) == "1 '2'"
    assert fill_raw("$a.b", stored) == "2"


def test_nothing_is_replaced_when_nothing_is_stored() -> None:
    assert fill_sql("select $a.*", {}) == "select $a.*"
    assert fill_raw("$a", {}) == "$a"


def test_inserted_text_is_not_scanned_again() -> None:
    stored = {"a": one("$b"), "b": one("$a")}

    assert fill_sql("$a $b", stored) == "'$b' '$a'"
    assert fill_raw("$a $b", stored) == "$b $a"


@pytest.mark.parametrize(
    ("text", "sql", "raw"),
    [
        ("$o", "7", "7"),
        ("$o.who", "'O''Hara'", "O'Hara"),
        ("$o.tags", "'[\"a\"]'", '["a"]'),
        (
            "$o.*",
            """(VALUES (7,'O''Hara'::text,'["a"]'::text)) AS "o"("id", "who", "tags")""",
            '[{"id":7,"who":"O\'Hara","tags":["a"]}]',
        ),
    ],
)
def test_the_example_of_the_specification(text: str, sql: str, raw: str) -> None:
    assert fill_sql(text, {"o": ORDER}) == sql
    assert fill_raw(text, {"o": ORDER}) == raw


@pytest.mark.parametrize(
    ("value", "sql", "raw", "cell"),
    [
        ('"it\'s"', "'it''s'", "it's", "'it''s'::text"),
        ('""', "''", "", "''::text"),
        ('"a\\\\b\'"', " E'a\\\\b'''", "a\\b'", " E'a\\\\b'''::text"),
        ("7", "7", "7", "7"),
        ("1.50", "1.50", "1.50", "1.50"),
        ("1.0", "1.0", "1.0", "1.0"),
        ("1e+20", "1e+20", "1e+20", "1e+20"),
        ("12345678901234567890.10", *["12345678901234567890.10"] * 3),
        ("-1", "(-1)", "-1", "-1"),
        ("true", "true", "true", "true"),
        ("false", "false", "false", "false"),
        ('{"a": [1, 2.0]}', "'{\"a\":[1,2.0]}'", '{"a":[1,2.0]}', "'{\"a\":[1,2.0]}'::text"),
        ('["it\'s"]', "'[\"it''s\"]'", '["it\'s"]', "'[\"it''s\"]'::text"),
        ('["\\n"]', " E'[\"\\\\n\"]'", '["\\n"]', " E'[\"\\\\n\"]'::text"),
    ],
)
def test_a_value_is_formatted_by_its_type(value: str, sql: str, raw: str, cell: str) -> None:
    stored = {"o": json_one(value)}

    assert fill_sql("$o|$o?|$o.v|$o.v?", stored) == "|".join([sql] * 4)
    assert fill_raw("$o|$o?|$o.v|$o.v?", stored) == "|".join([raw] * 4)
    assert fill_sql("$o.*", stored) == f'(VALUES ({cell})) AS "o"("v")'


def test_a_negative_number_after_a_minus_sign_makes_no_comment() -> None:
    assert fill_sql("select 3-$x", {"x": one(-1)}) == "select 3-(-1)"


@given(plain_texts)
def test_a_string_comes_back_from_its_sql_literal(value: str) -> None:
    assert read_literal(fill_sql("$o", {"o": one(value)})) == value


@given(st.lists(plain_texts))
def test_a_stored_array_comes_back_from_its_sql_literal(values: list[str]) -> None:
    stored = dump(values)

    assert read_literal(fill_sql("$o", {"o": stored})) == stored


@given(st.from_regex(r"-?(0|[1-9][0-9]{0,40})(\.[0-9]{1,40})?", fullmatch=True))
def test_a_number_keeps_its_digits(digits: str) -> None:
    assert fill_sql("$o", {"o": json_one(digits)}).strip("()") == digits
    assert fill_raw("$o", {"o": json_one(digits)}) == digits


def test_a_nul_character_cannot_be_put_into_sql() -> None:
    with pytest.raises(ReferenceFailed, match=r"^\$o\.v: the value contains a NUL character"):
        fill_sql("$o.v", {"o": json_one('"a\\u0000b"')})


def test_a_lone_surrogate_becomes_a_replacement_character() -> None:
    stored = {"o": json_one('"\\ud800"')}

    assert fill_sql("$o", stored) == "'\ufffd'"
    assert fill_raw("$o", stored) == "\ufffd"
    fill_sql("$o.*", stored).encode()
    fill_raw("$o.*", stored).encode()


def read_literal(literal: str) -> str:
    """Read one SQL string literal as PostgreSQL does; it must be the whole text."""
    escapes = literal.startswith(" E'")
    body = literal.removeprefix(" E").removeprefix("'").removesuffix("'")
    assert literal == (f" E'{body}'" if escapes else f"'{body}'")
    units = re.findall(r"''|\\.|[^'\\]" if escapes else r"''|[^']", body, re.DOTALL)
    assert "".join(units) == body
    return "".join([unit[-1] for unit in units])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("do $tag$ begin $n; end $tag$", "do $tag$ begin 5; end $tag$"),
        ("do $tag$ $tag.v $tag$", "do $tag$ 6 $tag$"),
        ("$$tag$$ $n", "$$tag$$ 5"),
        ("$$$$ $n", "$$$$ 5"),
        ("$tag$x$tag$$n", "$tag$x$tag$5"),
        ("$tag$ $n$ $tag $n$ $tag$", "$tag$ $n$ 6 $n$ $tag$"),
        ("$tag$n", "65"),
        ("$tag$n$", "65$"),
        ("$é$ $n $é$", "$é$ 5 $é$"),
        ("select $1, $2, $n", "select $1, $2, 5"),
    ],
)
def test_the_delimiters_of_dollar_quotes_are_left_alone(text: str, expected: str) -> None:
    assert fill_sql(text, {"tag": one(6), "n": one(5)}) == expected


def test_dollar_quotes_mean_nothing_in_a_raw_text() -> None:
    assert fill_raw("$tag$ $tag$", {"tag": one(6)}) == "6$ 6$"


@pytest.mark.parametrize("value", ["x $b$; drop table t", "$b$", "$a$b$"])
def test_a_value_that_would_end_the_dollar_quote_around_it_is_refused(value: str) -> None:
    with pytest.raises(ReferenceFailed, match=re.escape("$x: the value contains $b$")):
        fill_sql("do $b$ begin perform f($x); end $b$", {"x": one(value)})


def test_the_same_value_is_accepted_outside_of_the_dollar_quote() -> None:
    filled = fill_sql("select $x, $b$ y $b$, $x", {"x": one("$b$")})

    assert filled == "select '$b$', $b$ y $b$, '$b$'"


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        (EMPTY, "$r has no rows — query returned zero results"),
        (json_one("null"), "$r is NULL — first column of first row is NULL"),
    ],
)
@pytest.mark.parametrize("fill", [fill_sql, fill_raw])
def test_a_first_value_that_is_not_there_is_an_error_or_null(
    fill: Fill, stored: str, message: str
) -> None:
    with pytest.raises(ReferenceFailed) as caught:
        fill("$r", {"r": stored})

    assert str(caught.value) == message
    assert fill("[$r?]", {"r": stored}) == "[NULL]"


@pytest.mark.parametrize("reference", ["$r", "$r?"])
@pytest.mark.parametrize("fill", [fill_sql, fill_raw])
@pytest.mark.parametrize("stored", ['{"rows":[{}],"row_count":1}', '{"rows":[1]}'])
def test_a_row_without_columns_has_no_first_value(fill: Fill, reference: str, stored: str) -> None:
    with pytest.raises(ReferenceFailed) as caught:
        fill(reference, {"r": stored})

    assert str(caught.value) == "$r: first row has no columns"


def test_the_first_value_is_that_of_the_first_column_of_the_query() -> None:
    assert fill_sql("$r", {"r": '{"rows":[{"z":1,"a":2},{"z":3,"a":4}],"row_count":2}'}) == "1"


@pytest.mark.parametrize(
    ("stored", "sql"),
    [
        (HTTP, "'" + HTTP.replace("'", "''") + "'"),
        ('[{"rows":[]},2]', "'[{\"rows\":[]},2]'"),
        ('{"rows":5}', "'{\"rows\":5}'"),
        ('"done"', "'\"done\"'"),
        ("5", "'5'"),
        ("null", "'null'"),
        ("true", "'true'"),
        ("not json", "'not json'"),
        ("", "''"),
    ],
)
@pytest.mark.parametrize("reference", ["$r", "$r?"])
def test_any_other_result_is_one_string(reference: str, stored: str, sql: str) -> None:
    assert fill_sql(reference, {"r": stored}) == sql
    assert fill_raw(reference, {"r": stored}) == stored


@pytest.mark.parametrize(
    ("stored", "reference", "sql", "raw"),
    [
        (ORDER, "$r.who", "'O''Hara'", "O'Hara"),
        (HTTP, "$r.status", "200", "200"),
        (HTTP, "$r.ok?", "true", "true"),
        (HTTP, "$r.body", "'it''s'", "it's"),
        (HTTP, "$r.headers", '\'{"etag":"x"}\'', '{"etag":"x"}'),
        ('{"rows":5}', "$r.rows", "5", "5"),
    ],
)
def test_a_field_is_taken_from_the_first_row_or_the_object(
    stored: str, reference: str, sql: str, raw: str
) -> None:
    assert fill_sql(reference, {"r": stored}) == sql
    assert fill_raw(reference, {"r": stored}) == raw


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        (EMPTY, "$r has no rows — query returned zero results"),
        ('{"rows":[{"c":null}],"row_count":1}', "$r.c is NULL"),
        ('{"c":null}', "$r.c is NULL"),
    ],
)
@pytest.mark.parametrize("fill", [fill_sql, fill_raw])
def test_a_field_that_has_no_value_is_an_error_or_null(
    fill: Fill, stored: str, message: str
) -> None:
    with pytest.raises(ReferenceFailed) as caught:
        fill("$r.c", {"r": stored})

    assert str(caught.value) == message
    assert fill("[$r.c?]", {"r": stored}) == "[NULL]"


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        (ORDER, "$r.nope: result has no field 'nope' (available: id, tags, who)"),
        (
            HTTP,
            "$r.nope: result has no field 'nope' (available: body, encoding, headers, ok, status)",
        ),
        ('{"rows":[7]}', "$r.nope: result has no field 'nope' (available: )"),
        ("[1]", "$r.nope: result is neither a row set nor a JSON object"),
        ('"done"', "$r.nope: result is neither a row set nor a JSON object"),
        ("null", "$r.nope: result is neither a row set nor a JSON object"),
        ("oops", "$r.nope: result is not valid JSON"),
    ],
)
@pytest.mark.parametrize("fill", [fill_sql, fill_raw])
@pytest.mark.parametrize("mark", ["", "?"])
def test_a_field_that_cannot_exist_is_an_error_even_when_null_safe(
    mark: str, fill: Fill, stored: str, message: str
) -> None:
    with pytest.raises(ReferenceFailed) as caught:
        fill(f"$r.nope{mark}", {"r": stored})

    assert str(caught.value) == message


def test_a_row_set_becomes_a_table() -> None:
    stored = '{"rows":[{"a":1,"b \\"x\\" c":null},{"a":-2,"b \\"x\\" c":"y"}],"row_count":2}'

    assert fill_sql("select * from $r.*", {"r": stored}) == (
        """select * from (VALUES (1,NULL), (-2,'y'::text)) AS "r"("a", "b ""x"" c")"""
    )
    assert (
        fill_raw("$r.*", {"r": stored}) == '[{"a":1,"b \\"x\\" c":null},{"a":-2,"b \\"x\\" c":"y"}]'
    )


def test_the_columns_are_those_of_the_first_row() -> None:
    stored = '{"rows":[{"a":1,"b":2},{"b":4,"c":5}]}'

    assert fill_sql("$r.*", {"r": stored}) == '(VALUES (1,2), (NULL,4)) AS "r"("a", "b")'


def test_an_empty_row_set_becomes_an_empty_table() -> None:
    assert fill_sql("$r.*", {"r": EMPTY}) == '(SELECT NULL WHERE false) AS "r"'
    assert fill_raw("$r.*", {"r": EMPTY}) == "[]"


def test_an_empty_row_set_keeps_its_columns_when_they_are_known() -> None:
    filled = fill_sql("$r.*", {"r": EMPTY}, {"r": ["id", 'a"b']})

    assert filled == '(SELECT NULL AS "id", NULL AS "a""b" WHERE false) AS "r"("id", "a""b")'


@pytest.mark.parametrize("fill", [fill_sql, fill_raw])
def test_a_row_set_may_have_ten_thousand_rows(fill: Fill) -> None:
    stored = dump({"rows": [{"n": 1}] * 10_000, "row_count": 10_000})

    assert fill("$r.*", {"r": stored}).count("1") == 10_000


@pytest.mark.parametrize("fill", [fill_sql, fill_raw])
def test_a_row_set_of_more_rows_is_refused(fill: Fill) -> None:
    stored = dump({"rows": [{"n": 1}] * 10_001, "row_count": 10_001})

    with pytest.raises(LimitExceeded) as caught:
        fill("$r.*", {"r": stored})

    assert str(caught.value) == (
        "$r.* — result has 10001 rows, exceeding the maximum of 10000 for row-set expansion. "
        "Use pagination or intermediate tables for large result sets."
    )


@pytest.mark.parametrize("stored", ["{}", "[1]", "5", "null", HTTP, '{"rows":5}', '{"rows":[1]}'])
@pytest.mark.parametrize("fill", [fill_sql, fill_raw])
def test_a_result_that_is_no_row_set_has_no_rows(fill: Fill, stored: str) -> None:
    with pytest.raises(ReferenceFailed) as caught:
        fill("$r.*", {"r": stored})

    assert str(caught.value) == "$r.* — invalid result format"


@pytest.mark.parametrize("fill", [fill_sql, fill_raw])
def test_a_result_that_is_not_json_has_no_rows_and_the_reason_is_told(fill: Fill) -> None:
    with pytest.raises(ReferenceFailed) as caught:
        fill("$r.*", {"r": "oops"})

    assert str(caught.value).startswith("$r.* — invalid result JSON: Expecting value")


def test_a_table_without_columns_is_refused_in_sql() -> None:
    with pytest.raises(ReferenceFailed, match=r"^\$r: first row has no columns$"):
        fill_sql("$r.*", {"r": '{"rows":[{}],"row_count":1}'})


@given(
    st.lists(st.sampled_from(["$", "$a", "$ab", ".*", ".v", "?", ".", "x", "'", " ", "$$"])).map(
        "".join
    ),
    st.dictionaries(names, plain_texts.map(one), max_size=3),
)
def test_a_text_without_stored_names_is_never_changed(text: str, stored: dict[str, str]) -> None:
    others = {f"z_{name}": value for name, value in stored.items()}

    assert fill_sql(text, others) == text
    assert fill_raw(text, others) == text


@given(st.lists(st.tuples(plain_texts.map(lambda text: text.replace("$", "")), names)))
def test_each_reference_is_filled_by_its_own_value(parts: list[tuple[str, str]]) -> None:
    stored = {name: one(f"<{name}>") for _, name in parts}
    text = "".join([f"{before}${name}|" for before, name in parts])

    assert fill_raw(text, stored) == "".join([f"{before}<{name}>|" for before, name in parts])
