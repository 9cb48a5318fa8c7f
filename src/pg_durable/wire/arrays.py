"""PostgreSQL arrays in binary form, for parameters: no quoting, no parsing."""

import struct
from collections.abc import Sequence

TEXT = 25
INT4 = 23

_HEADER = struct.Struct("!iiiii")  # dimensions, has nulls, element type, length, lower bound
_LENGTH = struct.Struct("!i")
_INT4_ELEMENT = struct.Struct("!ii")
_NULL = _LENGTH.pack(-1)
_EMPTY = struct.Struct("!iii")
_ONE_TEXT = _HEADER.pack(1, 0, TEXT, 1, 1)


def text_array(values: Sequence[str | None]) -> bytes:
    """A text[] parameter."""
    if not values:
        return _EMPTY.pack(0, 0, TEXT)
    if len(values) == 1 and (value := values[0]) is not None:  # the most frequent of all
        encoded = value.encode()
        return _ONE_TEXT + _LENGTH.pack(len(encoded)) + encoded
    parts = [_HEADER.pack(1, None in values, TEXT, len(values), 1)]
    parts += [
        _NULL if value is None else _LENGTH.pack(len(encoded := value.encode())) + encoded
        for value in values
    ]
    return b"".join(parts)


def int_array(values: Sequence[int]) -> bytes:
    """An int[] parameter."""
    if not values:
        return _EMPTY.pack(0, 0, INT4)
    parts = [_HEADER.pack(1, 0, INT4, len(values), 1)]
    parts.extend(_INT4_ELEMENT.pack(4, value) for value in values)
    return b"".join(parts)
