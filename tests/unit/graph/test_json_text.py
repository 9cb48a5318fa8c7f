import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pg_durable.errors import LimitExceeded
from pg_durable.graph.json_text import Number, dump, mend, parse, quote

numbers = st.from_regex(
    r"-?(0|[1-9][0-9]{0,40})(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,5})?", fullmatch=True
)
texts = st.text(st.characters(exclude_categories=["Cs"]))
documents = st.recursive(
    st.none() | st.booleans() | numbers.map(Number) | texts,
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
    max_leaves=20,
)


@given(documents)
def test_what_is_dumped_is_parsed_to_the_same(document: object) -> None:
    text = dump(document)

    assert parse(text) == document
    assert dump(parse(text)) == text


@given(numbers)
def test_a_number_keeps_all_its_digits(digits: str) -> None:
    value = parse(f"[{digits}]")

    assert value == [digits]
    assert dump(value) == f"[{digits}]"


def test_a_number_is_told_from_a_string_of_the_same_digits() -> None:
    number, string = parse("1.50"), parse('"1.50"')

    assert isinstance(number, Number)
    assert not isinstance(string, Number)
    assert dump([number, string]) == '[1.50,"1.50"]'


@pytest.mark.parametrize("digits", ["0", "-0", "0.00", "-0.0e5", "0E-99"])
def test_zero_is_zero_however_it_is_written(digits: str) -> None:
    assert Number(digits).is_zero


@pytest.mark.parametrize("digits", ["1", "-1", "10", "0.001", "1e-999", "0." + "0" * 400 + "1"])
def test_a_number_too_small_for_a_float_is_not_zero(digits: str) -> None:
    assert not Number(digits).is_zero


def test_a_number_of_ten_thousand_digits_is_kept() -> None:
    digits = "9" * 10_000

    assert dump(parse(digits)) == digits


def test_keys_keep_their_order_and_of_duplicates_the_last_value_wins() -> None:
    assert dump(parse('{"b": 1, "a": 2, "b": 3}')) == '{"b":3,"a":2}'


@pytest.mark.parametrize(
    "text", ["", " ", "{", "01", "NaN", "[Infinity]", "-Infinity", "'a'", '"\n"', "1 2", "nul"]
)
def test_what_is_not_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (the parser's own message, whatever it is)
        parse(text)


def test_results_built_from_python_values_are_dumped_compactly() -> None:
    result: dict[str, object] = {
        "slept": True,
        "seconds": 5,
        "data": None,
        "parts": ("é", []),
        "empty": {},
    }

    assert dump(result) == '{"slept":true,"seconds":5,"data":null,"parts":["é",[]],"empty":{}}'


@pytest.mark.parametrize("value", [1.5, {"at": object()}, [b"bytes"]])
def test_a_float_or_foreign_object_is_not_dumped(value: object) -> None:
    with pytest.raises(TypeError, match="cannot be part of a result"):
        dump(value)


def test_json_nested_too_deeply_is_refused_by_a_clear_error() -> None:
    with pytest.raises(LimitExceeded, match="nested too deeply"):
        parse("[" * 100_000 + "]" * 100_000)


def test_a_value_nested_too_deeply_is_not_dumped() -> None:
    nested: list[object] = []
    for _ in range(100_000):
        nested = [nested]

    with pytest.raises(LimitExceeded, match="nested too deeply"):
        dump(nested)


@given(texts)
def test_a_quoted_text_reads_back(text: str) -> None:
    assert json.loads(quote(text)) == text


def test_a_quoted_text_keeps_what_is_not_ascii() -> None:
    assert quote('é☃😀"\n') == '"é☃😀\\"\\n"'


def test_lone_surrogates_become_replacement_characters() -> None:
    assert quote("a\ud800b") == '"a\ufffdb"'
    assert dump(parse('"\\udc00"')) == '"\ufffd"'
    assert mend("\udfff😀é") == "\ufffd😀é"


def test_an_escaped_surrogate_pair_is_one_character() -> None:
    assert dump(parse('"\\ud83d\\ude00"')) == '"😀"'
