"""Whether a condition's result counts as true; whether a stored one has rows."""

import re

from pg_durable.errors import PgDurableError
from pg_durable.graph.json_text import Json, Number, parse


def is_true(result_text: str) -> bool:
    """Judge the result of a condition, as `df.if` and `df.loop` do.

    Of a row set the first column of the first row counts, and no row is false. Any other JSON is
    judged whole: null, zero, the empty array and the empty object are false. A string is false
    when it is blank, reads `false`, `f` or `no`, or is a number equal to zero; text that is
    not JSON is such a string. Zero is decided on the digits, so a `numeric` of any size is
    judged right.

    Raises:
        LimitExceeded: the result is nested too deeply to be read.
    """
    try:
        value = parse(result_text)
    except ValueError:
        return _is_true_string(result_text)
    return _is_true_value(_first_value(value))


def has_rows(name: str, stored: str | None) -> bool:
    """Judge a stored result by its number of rows, as `df.if_rows` does.

    Raises:
        PgDurableError: there is none of this name, or it is no result of a statement.
    """
    if stored is None:
        raise PgDurableError(f"df.if_rows: result '{name}' not found")
    value = parse(stored)
    count = value.get("row_count") if isinstance(value, dict) else None
    if not isinstance(count, Number):
        raise PgDurableError(f"df.if_rows: result '{name}' is not a SQL result (missing row_count)")
    return not (count.is_zero or count.startswith("-"))


def _first_value(result: Json) -> Json:
    match result:
        case {"rows": []}:
            return False
        case {"rows": [dict(first_row), *_]} if first_row:
            return next(iter(first_row.values()))
    return result


def _is_true_value(value: Json) -> bool:
    match value:
        case Number():
            return not value.is_zero
        case str():
            return _is_true_string(value)
    return bool(value)


def _is_true_string(text: str) -> bool:
    word = text.strip().lower()
    if _DECIMAL.fullmatch(word):
        return not Number(word).is_zero
    return word not in ("", "false", "f", "no")


# `inf` and `nan` need no mention: they are neither zero nor a word for false.
_DECIMAL = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?")
