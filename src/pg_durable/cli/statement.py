"""A failed statement on a terminal: not too much of it, and the place of the error marked."""

from pg_durable.cli.output import clean

_MOST_LINES, _MOST_CHARACTERS = 12, 1000
_AROUND = 40  # characters shown on each side of the place


def shortened(statement: str, length: int) -> str:
    """The statement, or its beginning; `length` is that of the whole, in characters."""
    lines = statement[:_MOST_CHARACTERS].splitlines()[:_MOST_LINES]
    shown = "\n".join(lines)
    if len(shown) >= len(statement.rstrip()) and length <= len(statement):
        return shown
    return f"{shown}…\n({length} characters; pg-durable show --json has more)"


def marked(statement: str, position: int) -> list[str]:
    """The line of a place (1 is the first character), and below it a mark; [] outside of it.

    A long line is cut on both sides of the place.
    """
    from rich.cells import cell_len

    if not 1 <= position <= len(statement) + 1:
        return []
    before, after = statement[: position - 1], statement[position - 1 :]
    left = before.rpartition("\n")[2]
    right = after.partition("\n")[0]
    shown_left = f"…{left[-_AROUND:]}" if len(left) > _AROUND else left.lstrip()
    shown_right = f"{right[:_AROUND]}…" if len(right) > _AROUND else right.rstrip()
    shown_left, shown_right = (_on_one_line(text) for text in (shown_left, shown_right))
    return [shown_left + shown_right, " " * cell_len(shown_left) + "^"]


def place(statement: str, position: int) -> str:
    """A place in words: its line only where there are several."""
    line = statement.count("\n", 0, position - 1) + 1
    column = position - (statement.rfind("\n", 0, position - 1) + 1)
    return f"line {line}, character {column}" if "\n" in statement else f"character {position}"


def _on_one_line(text: str) -> str:
    return clean(text.replace("\t", " ").replace("\r", " "))
