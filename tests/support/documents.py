"""Documents that the tests run: their blocks, what psql prints for them, and how both compare."""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

_FENCE = re.compile(
    r"^(?:<!-- (?P<note>[^\n]*) -->\n+)?```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_ENVIRONMENT = {"PGCLIENTENCODING": "UTF8", "PGTZ": "UTC", "PGDATESTYLE": "ISO, MDY"}
_END = "-- end of block --"

# What differs from run to run, and what stands for it.
_VARYING = (
    (r"\(\d+ rows?\)", ""),
    (r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d+)?(?:\+00(?::00)?| UTC|Z)?", "<time>"),
    (r"\bworker \d+ \([^)]*\)", "worker <name>"),
    (r"\b[0-9a-f]{8}\b", "<id>"),
    (r"\b\d+(?:\.\d+)? m?s\b", "<duration>"),
    (r"\s+", " "),
    (r"-{2,}", "--"),
    (r" \+$", ""),  # psql's mark of a value with several lines
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A fenced block: its language, its text, and the comment right above it."""

    language: str
    text: str
    note: str
    line: int


def blocks(document: Path) -> list[Block]:
    """The fenced blocks of a document, in order."""
    text = document.read_text("utf-8")
    return [
        Block(
            language=match["language"],
            text=match["text"],
            note=match["note"] or "",
            line=text.count("\n", 0, match.start()) + 1,
        )
        for match in _FENCE.finditer(text)
    ]


def normal(text: str) -> list[str]:
    """The lines without blanks, frames, row counts, ids, times and durations; no empty ones."""
    lines = []
    for line in text.splitlines():
        for pattern, placeholder in _VARYING:
            line = re.sub(pattern, placeholder, line)
        lines.append(line.strip())
    return [line for line in lines if line]


def tables(document: Path, *columns: str) -> Iterator[list[str]]:
    """The rows of the tables with these columns, without the marks of code."""
    inside = False
    for line in document.read_text("utf-8").splitlines():
        cells = [c.strip() for c in re.split(r"(?<!\\)\|", line.strip())[1:-1]]
        if cells == list(columns):
            inside = True
        elif not cells:
            inside = False
        elif inside and not set(cells[0]) <= {"-"}:
            yield [cell.replace("\\|", "|").replace("`", "") for cell in cells]


class Psql:
    """A psql that stays, so that a page's variables and settings last to its end."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def run(self, text: str) -> str:
        """Everything it prints for a script, errors included."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{text}\n\\echo {_END}\n".encode())
        printed: list[str] = []
        while True:
            line = await asyncio.wait_for(self._process.stdout.readline(), 30)
            assert line, f"psql has ended; it printed\n{''.join(printed)}"
            if line.decode() == f"{_END}\n":
                return "".join(printed)
            printed.append(line.decode())


@asynccontextmanager
async def psql_session(psql: Path, conninfo: str) -> AsyncIterator[Psql]:
    """A psql session that tells no command tags."""
    process = await asyncio.create_subprocess_exec(
        *(str(psql), "-X", "-q", "-v", "SHOW_CONTEXT=never", "-d", conninfo),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=os.environ | _ENVIRONMENT,
    )
    try:
        yield Psql(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()
