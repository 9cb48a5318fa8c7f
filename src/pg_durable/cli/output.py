"""What commands print: JSON for programs, tables for people.

On a terminal a table is fitted to its width, and what had to be cut ends in `…`. Anywhere
else nothing is cut, wrapped or coloured.
"""

import os
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

_GAP = "  "  # between columns
_NARROWEST = 10
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_STYLES = {
    "pending": "cyan",
    "running": "yellow",
    "completed": "green",
    "failed": "bold red",
    "cancelled": "magenta",
    "skipped": "dim",
}
_MARKS = {" ✓$": "green", " ✗$": "bold red", " ⏳$": "yellow", " [○⊘]$": "dim"}


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table; `shrinks` if it is the one to be cut on a narrow terminal."""

    title: str
    shrinks: bool = False


def on_terminal() -> bool:
    """Whether a person reads what is printed."""
    return sys.stdout.isatty()


def console() -> "Console":
    """The standard output: coloured on a terminal, unless NO_COLOR is set."""
    from rich.console import Console

    return Console(
        force_terminal=on_terminal(),
        color_system=None if os.environ.get("NO_COLOR") else "auto",
        highlight=False,
        markup=False,
        emoji=False,
    )


def print_json(value: object) -> None:
    """Print one JSON document; times are in UTC, durations in seconds."""
    import orjson

    def convert(item: object) -> object:
        if isinstance(item, timedelta):
            return item.total_seconds()
        raise TypeError(f"{item!r} has no JSON form")

    options = orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z
    print(orjson.dumps(value, default=convert, option=options).decode())


def json_of(text: str | None) -> object:
    """JSON text as a part of a document, digit by digit as it is."""
    import orjson

    return None if text is None else orjson.Fragment(text)


def print_table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> bool:
    """Print rows of one line each below the titles of their columns; False: some were cut."""
    from rich.cells import cell_len
    from rich.text import Text

    lines = [[column.title for column in columns], *([one_line(c) for c in row] for row in rows)]
    full = widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
    if on_terminal():
        widths = _fitted(columns, widths, shutil.get_terminal_size().columns)
    out = console()
    for number, line in enumerate(lines):
        text = Text(_GAP).join(
            Text(_cut(cell, width), _STYLES.get(cell, "") if column.title == "STATUS" else "")
            for column, cell, width in zip(columns, line, widths, strict=True)
        )
        text.rstrip()
        out.print(text, soft_wrap=True, style=None if number else "bold")
    return widths == full


def styled(status: str) -> "Text":
    """A status in its colour."""
    from rich.text import Text

    return Text(status, style=_STYLES.get(status, ""))


def tree(text: str) -> "Text":
    """The lines of df.explain, with the marks of their status in colour."""
    from rich.text import Text

    result = Text(clean(text))
    for pattern, style in _MARKS.items():
        result.highlight_regex(re.compile(pattern, re.MULTILINE), style)
    return result


def clean(text: str) -> str:
    """Show control characters as escapes: what is stored must not steer the terminal."""
    return _CONTROLS.sub(lambda match: f"\\x{ord(match[0]):02x}", text)


def one_line(text: str) -> str:
    """Text for a table's cell."""
    return clean(" ".join(text.split()))


def show_time(moment: datetime) -> str:
    """A moment in the user's time zone."""
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def in_utc(moment: datetime | None) -> datetime | None:
    """A moment for JSON."""
    return None if moment is None else moment.astimezone(UTC)


def show_duration(duration: timedelta) -> str:
    """A duration in its two largest units."""
    seconds = duration.total_seconds()
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, left = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {left} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min"
    return f"{hours // 24} d {hours % 24} h"


def note(text: str) -> None:
    """Say something beside the output, on the standard error."""
    print(f"pg-durable: {text}", file=sys.stderr)


def _fitted(columns: Sequence[Column], widths: Sequence[int], most: int) -> list[int]:
    """Take the width of a terminal from the columns that shrink, the widest first."""
    widths = list(widths)
    while sum(widths) + len(_GAP) * (len(widths) - 1) > most:
        shrinking = [n for n, c in enumerate(columns) if c.shrinks and widths[n] > _NARROWEST]
        if not shrinking:
            break  # too narrow for any table: the terminal wraps it
        widths[max(shrinking, key=lambda n: widths[n])] -= 1
    return widths


def _cut(text: str, width: int) -> str:
    from rich.cells import cell_len, set_cell_size

    if cell_len(text) > width:
        return set_cell_size(text, width - 1) + "…"
    return set_cell_size(text, width)
