r"""From PostgreSQL's text output to a step's result.

A result is one compact JSON text, `{"rows":[{"id":7,"who":"O'Hara"}],"row_count":1}`, with the
columns in the order of the query. Values are spliced in as the bytes the server sent: what is
already a JSON number or a JSON document is never read, so no digit can be lost. The server's
session must print dates in ISO style; what it prints otherwise becomes a plain string.

Shapes of the values, by type:

| type                           | JSON                                                        |
|--------------------------------|-------------------------------------------------------------|
| bool                           | `true`, `false`                                             |
| smallint, integer, bigint      | all digits                                                  |
| real, double precision         | PostgreSQL's shortest text; `1` is `1.0`, NaN and ±∞ `null` |
| json, jsonb                    | the document, without its blanks                            |
| timestamp, timestamptz         | `"2024-05-01T10:00:00.120"`, and `+00:00`                   |
| void, and NULL of any type     | `null`                                                      |
| numeric, text and all the rest | the text PostgreSQL prints, as a string                     |
"""

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

import orjson

from pg_durable.graph.json_text import quote


class Column(NamedTuple):
    """A result column as the server describes it; a domain comes with its base type."""

    name: str
    type_oid: int


def is_native(oid: int) -> bool:
    """Whether `encode` knows the type; if not, have the server convert it by `to_json`."""
    return oid in NATIVE_OIDS


def encode(
    columns: Sequence[Column],
    rows: Iterable[Sequence[bytes | None]],
    *,
    rows_affected: int | None = None,
) -> str:
    """Write rows in PostgreSQL's text format as a step's result.

    `row_count` counts the rows returned; `rows_affected` is for a statement that returns none,
    and is left out when None. Of columns with the same name the last wins, at the place of the
    first. A type that is not native becomes a string. Bytes that are not UTF-8 (they come from
    SQL_ASCII databases) become U+FFFD.
    """
    positions, encoders, template = _shape(tuple(columns))
    if len(positions) < len(columns):
        rows = ([row[position] for position in positions] for row in rows)

    objects = [
        template
        % tuple(
            [
                b"null" if value is None else encoder(value)
                for encoder, value in zip(encoders, row, strict=True)
            ]
        )
        for row in rows
    ]

    body = b",".join(objects).decode("utf-8", "replace")
    affected = "" if rows_affected is None else f',"rows_affected":{rows_affected}'
    return f'{{"rows":[{body}],"row_count":{len(objects)}{affected}}}'


@lru_cache(maxsize=1024)
def _shape(columns: tuple[Column, ...]) -> tuple[list[int], list[Callable[[bytes], bytes]], bytes]:
    """Which columns are written, how, and the format of a row, `{"id":%b,"who":%b}`."""
    source = {column.name: position for position, column in enumerate(columns)}
    encoders = [_ENCODERS.get(columns[position].type_oid, _string) for position in source.values()]
    keys = ",".join([quote(name).replace("%", "%%") + ":%b" for name in source])
    return list(source.values()), encoders, f"{{{keys}}}".encode()


def _verbatim(value: bytes) -> bytes:
    return value


def _bool(value: bytes) -> bytes:
    return b"true" if value == b"t" else b"false"


def _float(value: bytes) -> bytes:
    if b"." in value or b"e" in value:
        return value
    # NaN, Infinity and -Infinity are all that does not end in a digit.
    return value + b".0" if value[-1:].isdigit() else b"null"


def _string(value: bytes) -> bytes:
    return orjson.dumps(value.decode("utf-8", "replace"))


def _null(_: bytes) -> bytes:
    return b"null"


def _document(value: bytes) -> bytes:
    return b"".join(_JSON_PIECE.findall(value)) if _BLANK.search(value) else value


_BLANK = re.compile(rb"[ \t\r\n]")
# Everything of a JSON document but the blanks between its tokens.
_JSON_PIECE = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[^ \t\r\n"]++', re.DOTALL)


def _timestamp(value: bytes) -> bytes:
    """Write `2024-05-01 10:00:00.12+02` as `"2024-05-01T08:00:00.120+00:00"`.

    What does not look like it (`infinity`, another date style) stays as it is; a year that
    Python's calendar lacks, or BC, stays in its own time zone.
    """
    match = _ISO_TIMESTAMP.fullmatch(value)
    if match is None:
        return _string(value)
    date, time, fraction, zone, era = match.groups(b"")
    if fraction:
        fraction = b"." + fraction.ljust(3 if len(fraction) <= 3 else 6, b"0")
    if zone == b"+00":
        zone = b"+00:00"
    elif zone:
        date, time, zone = _to_utc(date, time, zone, era)
    return b'"%bT%b%b%b%b"' % (date, time, fraction, zone, era)


def _to_utc(date: bytes, time: bytes, zone: bytes, era: bytes) -> tuple[bytes, bytes, bytes]:
    hours, minutes, seconds, *_ = (*map(int, zone[1:].split(b":")), 0, 0)
    offset = timedelta(hours=hours, minutes=minutes, seconds=seconds)
    try:
        local = datetime.fromisoformat(f"{date.decode()}T{time.decode()}")
        utc = local + offset if zone.startswith(b"-") else local - offset
    except (ValueError, OverflowError):
        utc = None
    if utc is None or era:
        return date, time, zone if b":" in zone else zone + b":00"
    day, clock = utc.isoformat().encode().split(b"T")
    return day, clock, b"+00:00"


_ISO_TIMESTAMP = re.compile(
    rb"(\d{4,}-\d\d-\d\d) (\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?([+-]\d\d(?::\d\d){0,2})?( BC)?"
)

# The other built-in types whose `to_json` is a string, namely their text.
_STRING_OIDS = (
    *(25, 1043, 1042, 19, 18, 705, 2275),  # text, varchar, bpchar, name, "char", unknown, cstring
    *(1700, 790, 17, 2950, 142),  # numeric, money, bytea, uuid, xml
    *(1082, 1083, 1266, 1186),  # date, time, timetz, interval
    *(26, 27, 28, 29, 5069),  # oid, tid, xid, cid, xid8
    *(24, 2202, 2203, 2204, 2205, 2206),  # regproc, -procedure, -oper, -operator, -class, -type
    *(3734, 3769, 4089, 4096, 4191),  # regconfig, -dictionary, -namespace, -role, -collation
    *(869, 650, 829, 774),  # inet, cidr, macaddr, macaddr8
    *(1560, 1562),  # bit, varbit
    *(3614, 3615, 3642, 4072),  # tsvector, tsquery, gtsvector, jsonpath
    *(600, 601, 602, 603, 604, 628, 718),  # point, lseg, path, box, polygon, line, circle
    *(3904, 3926, 3906, 3908, 3910, 3912),  # int4range, int8-, num-, ts-, tstz-, daterange
    *(4451, 4536, 4532, 4533, 4534, 4535),  # the same as multiranges
    *(3220, 1790, 2970, 5038),  # pg_lsn, refcursor, txid_snapshot, pg_snapshot
    *(194, 1033),  # pg_node_tree, aclitem
    *(3361, 3402, 5017, 4600, 4601),  # pg_ndistinct, -dependencies, -mcv_list, BRIN summaries
)

_ENCODERS: dict[int, Callable[[bytes], bytes]] = {
    **dict.fromkeys(_STRING_OIDS, _string),
    **dict.fromkeys((21, 23, 20), _verbatim),  # int2, int4, int8
    **dict.fromkeys((700, 701), _float),  # float4, float8
    **dict.fromkeys((114, 3802), _document),  # json, jsonb
    **dict.fromkeys((1114, 1184), _timestamp),  # timestamp, timestamptz
    16: _bool,
    2278: _null,  # void
}

NATIVE_OIDS: frozenset[int] = frozenset(_ENCODERS)
"""Types encoded here from their text; the server converts all others to JSON first."""
