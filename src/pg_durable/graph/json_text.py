"""JSON as text whose numbers keep every digit.

A step's result lives as JSON *text* from the moment PostgreSQL prints it. Whoever looks inside
uses `parse`, which leaves each number the characters it was written with: no float is ever made,
so `bigint`, `numeric` and `jsonb` values come out as they went in.
"""

import json
import re
from collections.abc import Callable
from typing import NoReturn, TypeAlias

import orjson

from pg_durable.errors import LimitExceeded

Json: TypeAlias = "bool | Number | str | list[Json] | dict[str, Json] | None"


class Number(str):
    """A JSON number as written, `-1.50e+3` say.

    It is a `str`, so ask for `Number` before asking for `str`.
    """

    __slots__ = ()

    @property
    def is_zero(self) -> bool:
        """Whether the value is exactly zero; `1e-999` is not, though a float would say so."""
        return not self.lower().partition("e")[0].strip("+-0.")


def parse(text: str) -> Json:
    """Read one JSON text; of duplicate keys the last wins, at the place of the first.

    Raises:
        ValueError: the text is not JSON; `NaN` and `Infinity` are not either.
        LimitExceeded: arrays and objects are nested too deeply (about 1,000 levels).
    """
    try:
        value: Json = _DECODER.decode(text)
    except RecursionError:
        raise LimitExceeded(_TOO_DEEP) from None
    return value


def dump(value: object) -> str:
    """Write what `parse` returned, or a result built from dicts, lists, texts and integers.

    Compact, keys in their order, non-ASCII characters as they are, numbers digit for digit.

    Raises:
        TypeError: a float, or anything else that is not JSON here.
        LimitExceeded: nested too deeply.
    """
    pieces: list[str] = []
    try:
        _write(value, pieces.append)
    except RecursionError:
        raise LimitExceeded(_TOO_DEEP) from None
    return "".join(pieces)


def quote(text: str) -> str:
    """Write a text as a JSON string literal; lone surrogates become U+FFFD."""
    try:
        return orjson.dumps(text).decode()
    except TypeError:
        return orjson.dumps(mend(text)).decode()


def mend(text: str) -> str:
    r"""Replace lone surrogates by U+FFFD, so that the text can be sent as UTF-8.

    They come from the type `json`, which lets escapes like `"\ud800"` pass unread.
    """
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


def storable(text: str) -> str:
    """Make a text one that PostgreSQL can hold: lone surrogates and U+0000 become U+FFFD."""
    return mend(text).replace("\0", "\ufffd")


_SURROGATE = re.compile("[\ud800-\udfff]")
_TOO_DEEP = "The JSON text is nested too deeply to be read: more than about 1,000 levels."


def _write(value: object, put: Callable[[str], None]) -> None:
    # Pieces are appended in one pass: a frame per level is what lets dump reach as deep as parse.
    match value:
        case Number():
            put(value)
        case str():
            put(quote(value))
        case None:
            put("null")
        case bool():
            put("true" if value else "false")
        case int():
            put(str(value))
        case dict():
            separator = "{"
            for key, item in value.items():
                put(f"{separator}{quote(key)}:")
                _write(item, put)
                separator = ","
            put("}" if value else "{}")
        case list() | tuple():
            separator = "["
            for item in value:
                put(separator)
                _write(item, put)
                separator = ","
            put("]" if value else "[]")
        case _:
            raise TypeError(f"A {type(value).__name__} cannot be part of a result: {value!r}.")


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


_DECODER = json.JSONDecoder(parse_int=Number, parse_float=Number, parse_constant=_refuse)
