"""What an SQL leaf gives, told without SQL."""

import re
from collections.abc import Mapping, Sequence

from pg_durable.errors import ReferenceFailed
from pg_durable.graph.json_text import Json, Number, dump, parse
from pg_durable.graph.substitution import fill_sql, fill_variables
from support.search.nodes import STRINGS, Form, Sql

PREFIX = "SQL execution failed: error returned from database: "

Columns = tuple[str, ...]


class LeafFailed(Exception):
    """The leaf fails with this text, and leaves no effect."""


def result_of(
    leaf: Sql,
    runs_before: int,
    variables: Mapping[str, str],
    results: Mapping[str, str],
    columns: Mapping[str, Sequence[str]],
) -> tuple[str, Columns]:
    """The result as JSON text, and the names of its columns.

    Raises:
        LeafFailed: the statement or its substitution fails.
    """
    match leaf.form:
        case Form.VALUE | Form.LEAF | Form.AFFECTED:
            value = _text_of(_fill(leaf.text, variables, results))
            if leaf.form is Form.AFFECTED:
                return '{"rows":[],"row_count":0,"rows_affected":1}', ()
            both = {"value": value, "leaf": leaf.number}
            order = ("value", "leaf") if leaf.form is Form.VALUE else ("leaf", "value")
            return _row_set([{key: both[key] for key in order}], order)
        case Form.ROWS:
            rows = [{"n": n, "s": None if s is None else STRINGS[s]} for n, s in leaf.rows]
            return _row_set(rows, ("n", "s"))
        case Form.EMPTY:
            return _row_set([], ("n", "s"))
        case Form.COUNT:
            return _row_set([{"go": runs_before % leaf.modulus < leaf.modulus - 1}], ("go",))
        case Form.COPY | Form.PICK:
            return _copy(leaf, results, columns)
        case Form.FAIL:
            raise LeafFailed(f"{PREFIX}division by zero")
        case Form.SEND:
            return _row_set([{"sent": "OK"}], ("sent",))


def _fill(text: str, variables: Mapping[str, str], results: Mapping[str, str]) -> str:
    try:
        return fill_sql(fill_variables(text, variables), results)
    except ReferenceFailed as error:
        raise LeafFailed(str(error)) from None


def _copy(
    leaf: Sql, results: Mapping[str, str], columns: Mapping[str, Sequence[str]]
) -> tuple[str, Columns]:
    source = results.get(leaf.text)
    if _fill(f"${leaf.text}.*", {}, results).startswith("$") or source is None:
        raise LeafFailed(f'{PREFIX}syntax error at or near "$"')
    match parse(source):
        case {"rows": [dict(), *_] as found}:
            rows = [row for row in found if isinstance(row, dict)]
            names = tuple(rows[0])
        case _:
            rows, names = [], tuple(columns.get(leaf.text, ())) or ("?column?",)
    if leaf.form is Form.PICK:
        if "n" not in names:
            raise LeafFailed(f'{PREFIX}column "n" does not exist')
        rows, names = [{"n": row["n"]} for row in rows], ("n",)
    return _row_set([{key: _cell(value) for key, value in row.items()} for row in rows], names)


def _cell(value: Json) -> Json:
    return dump(value) if isinstance(value, list | dict) else value


def _row_set(rows: Sequence[Mapping[str, object]], columns: Columns) -> tuple[str, Columns]:
    return dump({"rows": [dict(row) for row in rows], "row_count": len(rows)}), columns


def _text_of(expression: str) -> str | None:
    """What `(expression)::text` is for the literals that substitution writes."""
    text = expression.strip()
    if match := re.fullmatch(r"\$q\$(.*)\$q\$", text, re.DOTALL):
        return match[1]
    if match := re.fullmatch(r"'((?:[^']|'')*)'", text, re.DOTALL):
        return match[1].replace("''", "'")
    if match := re.fullmatch(r"E'((?:[^'\\]|''|\\\\)*)'", text, re.DOTALL):
        return match[1].replace("''", "'").replace("\\\\", "\\")
    if text.startswith("$"):
        raise LeafFailed(f'{PREFIX}syntax error at or near "$"')
    if text.startswith("("):
        return _text_of(text[1:-1])
    if text == "NULL":
        return None
    assert text in ("true", "false") or re.fullmatch(r"-?[0-9.]+", text), text
    return str(Number(text))
