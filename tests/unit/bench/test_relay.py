"""Finding the statements in what a client sends."""

import pytest

from pg_durable.bench.relay import MessageCounter


def message(kind: bytes, body: bytes) -> bytes:
    return kind + (len(body) + 4).to_bytes(4) + body


STARTUP = message(b"", b"\x00\x03\x00\x00user\x00me\x00\x00")
PARSE, BIND, EXECUTE, SYNC = (message(kind, b"QEQE\x00") for kind in (b"P", b"B", b"E", b"S"))
QUERY = message(b"Q", b"select 1\x00")
SESSION = STARTUP + QUERY + PARSE + BIND + EXECUTE + BIND + EXECUTE + SYNC


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 1000])
def test_statements_are_counted_however_the_bytes_are_cut(size: int) -> None:
    counter = MessageCounter()

    pieces = [SESSION[start : start + size] for start in range(0, len(SESSION), size)]

    assert sum(counter.feed(piece) for piece in pieces) == 3


def test_the_first_message_is_no_statement_whatever_it_begins_with() -> None:
    assert MessageCounter().feed(message(b"", b"QQQQ")) == 0
