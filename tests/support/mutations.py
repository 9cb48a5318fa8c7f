"""Faults put into a database on purpose, to see that tests find them."""

import re

from support.database import Database

# In the functions that record the end of a node, the condition on its status.
_ROW_CONDITION = {
    "_record": r"n\.status in \('pending', 'running'\)(?=\);\n\s+if not found then\n\s+v_all)",
    "_checkpoint_alike": r"n\.status in \('pending', 'running'\)(?=\)\n\s+and exists)",
}


async def let_rows_not_decide(db: Database) -> None:
    """Take the condition on the node's status out of what records steps."""
    for function, condition in _ROW_CONDITION.items():
        source = await db.scalar(f"select pg_get_functiondef('df.{function}'::regproc)")
        without, times = re.subn(condition, "true", source)
        assert times == 1, f"df.{function} does not read as expected"
        await db.rows(without)
