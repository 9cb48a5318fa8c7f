"""What to say of a statement that PostgreSQL cannot read, where its own words do not help."""

import re
from collections.abc import Mapping

_SYNTAX_ERROR = "42601"
_RESULT = re.compile(r"\$([A-Za-z_]\w*)")
_VARIABLE = re.compile(r"\{([A-Za-z_]\w*)\}")


def hint_for(statement: str, details: Mapping[str, object]) -> str | None:
    """A hint for a failed statement, as it was sent; None where there is nothing to add.

    A `$name` or `{variable}` that cannot be filled in is left as it is, for it may be part of the
    SQL. Where the server then stumbles upon it, its name was meant.
    """
    if details.get("sqlstate") != _SYNTAX_ERROR or "hint" in details:
        return None
    if statement.lstrip().startswith("{"):
        return (
            "A text that begins with { is a workflow only if it is a JSON object with a node_type;"
            " this one is not, so it was taken for SQL."
        )
    position = details.get("position")
    if position is None:
        if re.search(r";\s*\S", statement):
            return "A step is one statement. Make a step of each: 'first' ~> 'second'."
        return None
    rest = statement[int(str(position)) - 1 :]
    if found := _RESULT.match(rest):
        return (
            f"No result is called {found[1]} here, so ${found[1]} was left as it is."
            f" An earlier step gets the name with: '…' |=> '{found[1]}'."
        )
    if found := _VARIABLE.match(rest):
        return (
            f"There was no variable {found[1]} at the start, so {{{found[1]}}} was left as it is."
            f" Set it before: select df.setvar('{found[1]}', '…')."
        )
    return None
