"""Faults put into a database on purpose, to see that tests find them."""

import re

from support.database import Database

_ROW_CONDITION = re.compile(
    r"n\.status in \('pending', 'running'\)(?=\);\n\s+if not found then\n\s+v_all)"
)


async def let_rows_not_decide(db: Database) -> None:
    """Take the condition on the node's status out of df._record."""
    source = await db.scalar("select pg_get_functiondef('df._record'::regproc)")
    without, times = _ROW_CONDITION.subn("true", source)
    assert times == 1, "df._record does not read as expected"
    await db.rows(without)
