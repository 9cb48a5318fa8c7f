"""Values of results written into a text: as SQL literals, as a table in SQL, or as they are."""

from collections.abc import Sequence

from pg_durable.errors import ReferenceFailed
from pg_durable.graph.json_text import Json, Number, dump, mend


def plain(value: Json) -> str:
    """A value by its own characters; an object or array as JSON."""
    match value:
        case None:
            return "NULL"
        case str():
            return mend(value)
    return dump(value)


def literal(reference: str, value: Json) -> str:
    """A value as an SQL literal, in place of a reference.

    Raises:
        ReferenceFailed: SQL cannot hold it.
    """
    match value:
        case Number() if value.startswith("-"):
            return f"({value})"  # after a minus sign the bare number would open a comment
        case None | bool() | Number():
            return plain(value)
    return _quote(reference, plain(value))


def table(name: str, rows: Sequence[dict[str, Json]], columns: Sequence[str]) -> str:
    """Rows as a table in SQL with the result's name; `columns` are those where there are no rows.

    Raises:
        ReferenceFailed: SQL cannot hold a value, or the rows have no columns.
    """
    if rows:
        columns = list(rows[0])
        if not columns:
            raise ReferenceFailed(f"${name}: first row has no columns")
    names = [_quote_identifier(column) for column in columns]
    alias = _quote_identifier(name) + (f"({', '.join(names)})" if names else "")
    if not rows:
        nulls = ", ".join([f"NULL AS {column}" for column in names]) or "NULL"
        return f"(SELECT {nulls} WHERE false) AS {alias}"
    tuples = [",".join([_cell(f"${name}.*", row.get(key)) for key in columns]) for row in rows]
    return f"(VALUES {', '.join([f'({cells})' for cells in tuples])}) AS {alias}"


def _cell(reference: str, value: Json) -> str:
    match value:
        case None | bool() | Number():
            return plain(value)
    return _quote(reference, plain(value)) + "::text"


def _quote(reference: str, text: str) -> str:
    """Quote as libpq's PQescapeLiteral: right whether or not standard_conforming_strings is on."""
    if "\0" in text:
        raise ReferenceFailed(
            f"{reference}: the value contains a NUL character, which SQL text cannot hold"
        )
    text = mend(text).replace("'", "''")
    if "\\" in text:
        return " E'" + text.replace("\\", "\\\\") + "'"
    return f"'{text}'"


def _quote_identifier(name: str) -> str:
    return '"' + mend(name).replace('"', '""') + '"'
