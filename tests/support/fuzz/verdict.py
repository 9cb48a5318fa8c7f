"""Which errors are clear to a user."""

import psycopg

_AS_THE_TABLE_WOULD = ("nodes_structure_chk", "nodes_result_name_chk")


def assert_clear(error: "psycopg.Error", where: str) -> None:
    """See that an error of a df function says to its caller what is wrong.

    Ours name the thing, its value and the way out, and say so by their class; the table's own
    constraints are documented, and name the node. All else is a slip of ours: a cast that failed
    within, say, without a word of what was cast.
    """
    code = error.sqlstate or ""
    told = code.startswith("WF0") and bool(error.diag.message_primary)
    by_table = code == "23514" and error.diag.constraint_name in _AS_THE_TABLE_WOULD
    assert told or by_table, f"{where}: {code} {error}"


def assert_not_internal(error: "psycopg.Error", where: str) -> None:
    """See that PostgreSQL does not take an error for a fault of its own."""
    assert not (error.sqlstate or "XX").startswith("XX"), f"{where}: {error}"
