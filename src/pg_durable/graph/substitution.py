"""Filling `{variable}` and `$name` into the text of a step.

References, for a stored result `o`:

| text       | stands for                                           |
|------------|------------------------------------------------------|
| `$o`       | the first column of the first row                    |
| `$o.who`   | the field `who` of the first row, or of an object    |
| `$o?`      | as `$o`, but NULL when there is no row or no value   |
| `$o.who?`  | as `$o.who`, likewise; the field itself must exist   |
| `$o.*`     | the whole row set, as a table in SQL                 |

In SQL, values are written as literals; in the raw context (urls, bodies, headers) as they are.
The scan knows no SQL but one thing: the delimiters of dollar quotes (`$body$ … $body$`), that is
the same `$tag$` twice, are left alone, and no value that would end such a quote is put inside it.
"""

import re
from collections import deque
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NoReturn, TypeAlias

from pg_durable.errors import LimitExceeded, ReferenceFailed
from pg_durable.graph.json_text import Json, dump, parse
from pg_durable.graph.literals import literal, plain, table

MAX_ROW_SET = 10_000
"""Rows that `$name.*` may insert."""


def fill_variables(text: str, variables: Mapping[str, str]) -> str:
    """Replace each `{name}` of a known variable by its value, as it is.

    One pass: the values are not searched again. Unknown names stay as they are.
    """
    if not variables or "{" not in text:
        return text
    return _VARIABLE.sub(lambda match: variables.get(match[1], match[0]), text)


def fill_sql(
    text: str,
    results: Mapping[str, str],
    columns: Mapping[str, Sequence[str]] | None = None,
    limit: int | None = None,
) -> str:
    """Replace references in a statement by SQL literals, and `$name.*` by a table.

    `results` maps names to results as JSON text; `columns` may tell the column names of those
    that are empty row sets, so that `$name.*` can name them. A `$` before an unknown name stays.

    Raises:
        ReferenceFailed: there is no such row, value or field.
        LimitExceeded: `$name.*` has more than 10,000 rows, JSON is nested too deeply, or the
            values filled in have more than `limit` characters.
    """
    if not results or "$" not in text:
        return text
    stored, quotes = _Stored(results), _DollarQuotes(text)
    bounded = _Bounded(limit)

    def fill(match: re.Match[str]) -> str:
        name = match["name"]
        if match.start() in quotes.dollars:
            return match[0]
        if match["rows"]:
            value = table(name, stored.rows(name), (columns or {}).get(name, ()))
        else:
            value = literal(match[0], stored.value(match))
        quotes.check(match, value)
        bounded.add(value)
        return value

    return _references(frozenset(results)).sub(fill, text)


def fill_raw(text: str, results: Mapping[str, str], limit: int | None = None) -> str:
    """Replace references in a url, header or body by the values' own characters.

    A row set becomes a JSON array of objects, and NULL, where allowed, the word `NULL`.

    Raises: as `fill_sql`.
    """
    if not results or "$" not in text:
        return text
    stored, bounded = _Stored(results), _Bounded(limit)

    def fill(match: re.Match[str]) -> str:
        rows = match["rows"]
        value = dump(stored.rows(match["name"])) if rows else plain(stored.value(match))
        bounded.add(value)
        return value

    return _references(frozenset(results)).sub(fill, text)


class _Bounded:
    """Counts what is filled in, up to a limit."""

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._filled = 0

    def add(self, value: str) -> None:
        self._filled += len(value)
        if self._limit is not None and self._filled > self._limit:
            raise LimitExceeded(
                f"The values filled in exceed {self._limit} characters.",
                hint="Keep large values in a table, or raise max_result_bytes.",
            )


_VARIABLE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


@lru_cache(maxsize=256)
def _references(names: frozenset[str]) -> re.Pattern[str]:
    longest_first = sorted(names, key=lambda name: (-len(name), name))
    return re.compile(
        rf"\$(?P<name>{'|'.join(map(re.escape, longest_first))})"
        r"(?:(?P<rows>\.\*)|(?:\.(?P<field>[A-Za-z_][A-Za-z0-9_]*))?(?:(?P<lax>\?)|(?![A-Za-z0-9_])))"
    )


_Parsed: TypeAlias = "Json | ValueError"


class _Stored:
    """The results behind one text, each parsed at most once, when first needed."""

    def __init__(self, results: Mapping[str, str]) -> None:
        self._texts = results
        self._parsed: dict[str, _Parsed] = {}

    def value(self, match: re.Match[str]) -> Json:
        """Find the value of `$name` or `$name.field`; None is SQL's NULL, asked for by a `?`."""
        name, field = match["name"], match["field"]
        match self._read(name):
            case {"rows": []}:
                value, problem = None, f"${name} has no rows — query returned zero results"
            case result if field:
                value, problem = _field(name, result, field), f"${name}.{field} is NULL"
            case {"rows": [dict(row), *_]} if row:
                value = next(iter(row.values()))
                problem = f"${name} is NULL — first column of first row is NULL"
            case {"rows": [*_]}:
                _fail(f"${name}: first row has no columns")
            case _:
                return self._texts[name]  # not a row set: the whole text, whatever it is
        return _fail(problem) if value is None and not match["lax"] else value

    def rows(self, name: str) -> list[dict[str, Json]]:
        """Find the row set of `$name.*`."""
        match self._read(name):
            case {"rows": [*items]}:
                rows = [item for item in items if isinstance(item, dict)]
                if len(rows) < len(items):
                    _fail(f"${name}.* — invalid result format")
            case ValueError() as error:
                _fail(f"${name}.* — invalid result JSON: {error}")
            case _:
                _fail(f"${name}.* — invalid result format")
        if len(rows) > MAX_ROW_SET:
            raise LimitExceeded(
                f"${name}.* — result has {len(rows)} rows, exceeding the maximum of "
                f"{MAX_ROW_SET} for row-set expansion. "
                "Use pagination or intermediate tables for large result sets."
            )
        return rows

    def _read(self, name: str) -> _Parsed:
        if name not in self._parsed:
            try:
                self._parsed[name] = parse(self._texts[name])
            except ValueError as error:
                self._parsed[name] = error
        return self._parsed[name]


def _field(name: str, result: _Parsed, field: str) -> Json:
    match result:
        case {"rows": [first, *_]}:
            fields = first if isinstance(first, dict) else {}
        case dict(fields):
            pass
        case ValueError():
            _fail(f"${name}.{field}: result is not valid JSON")
        case _:
            _fail(f"${name}.{field}: result is neither a row set nor a JSON object")
    if field not in fields:
        available = ", ".join(sorted(fields))
        _fail(f"${name}.{field}: result has no field '{field}' (available: {available})")
    return fields[field]


def _fail(message: str) -> NoReturn:
    raise ReferenceFailed(message)


class _DollarQuotes:
    """Where a statement's dollar-quoted strings begin and end: at pairs of the same `$tag$`."""

    def __init__(self, text: str) -> None:
        tags = [(match.start(), match[0] + "$") for match in _TAG.finditer(text)]
        last = {tag: start for start, tag in tags}
        self.dollars: set[int] = set()
        """Positions of the `$` signs that belong to delimiters."""
        self._ahead: deque[tuple[int, str]] = deque()
        self._open: set[str] = set()

        opened: dict[str, int] = {}
        for start, tag in tags:
            end = start + len(tag)
            if tag in opened and start >= opened[tag]:
                del opened[tag]
            elif start not in self.dollars and last[tag] >= end:
                opened[tag] = end
            else:
                continue
            self.dollars |= {start, end - 1}
            self._ahead.append((start, tag))

    def check(self, reference: re.Match[str], value: str) -> None:
        """Refuse a value that would end a quote around its reference; call from left to right."""
        while self._ahead and self._ahead[0][0] < reference.start():
            self._open ^= {self._ahead.popleft()[1]}
        for match in _TAG.finditer(value) if self._open else ():
            if (tag := match[0] + "$") in self._open:
                _fail(f"{reference[0]}: the value contains {tag}, which ends the string around it")


# A delimiter without its second `$`, which may be the first of the next.
_TAG = re.compile(r"\$(?:[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_\x80-\U0010ffff]*)?(?=\$)")
