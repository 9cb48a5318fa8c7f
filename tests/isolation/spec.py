"""Isolation specs as PostgreSQL's own isolationtester reads them, run over psycopg.

    setup { SQL }                    before each permutation; several may follow each other
    teardown { SQL }                 after each
    session NAME  setup { SQL }      a session, and what it runs before its first step
      step NAME { SQL }
    permutation STEP STEP …          an order of steps

A step that waits for another session's lock is shown as waiting, and again when it completes.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import psycopg

from support.sessions import Answer, SteppedSession

_TOKEN = re.compile(r'#[^\n]*|\{([^}]*)\}|"([^"]*)"|(\w+)')


@dataclass(slots=True)
class Spec:
    """What a file says."""

    setups: list[str] = field(default_factory=list)
    teardown: str = ""
    sessions: dict[str, str] = field(default_factory=dict)  # name: setup
    steps: dict[str, tuple[str, str]] = field(default_factory=dict)  # name: session, SQL
    permutations: list[list[str]] = field(default_factory=list)

    @classmethod
    def parse(cls, text: str) -> "Spec":
        """Read a spec."""
        spec, session, words = cls(), "", list(_tokens(text))
        while words:
            match words.pop(0):
                case "setup" if session:
                    spec.sessions[session] = words.pop(0)
                case "setup":
                    spec.setups.append(words.pop(0))
                case "teardown":
                    spec.teardown = words.pop(0)
                case "session":
                    session = words.pop(0)
                    spec.sessions[session] = ""
                case "step":
                    name = words.pop(0)
                    spec.steps[name] = session, words.pop(0)
                case "permutation":
                    spec.permutations.append([])
                    while words and words[0] in spec.steps:
                        spec.permutations[-1].append(words.pop(0))
                case unknown:
                    raise ValueError(f"neither a step nor a keyword: {unknown}")
        return spec

    async def run(self, conninfo: str) -> str:
        """What happens in each permutation."""
        lines = []
        async with await psycopg.AsyncConnection.connect(conninfo, autocommit=True) as control:
            for permutation in self.permutations:
                lines += ["", f"starting permutation: {' '.join(permutation)}"]
                for setup in self.setups:
                    await control.execute(setup)
                lines += await self._run(conninfo, permutation, control)
                if self.teardown:
                    await control.execute(self.teardown)
        return "\n".join([*lines[1:], ""])

    async def _run(
        self, conninfo: str, permutation: list[str], control: psycopg.AsyncConnection
    ) -> list[str]:
        lines: list[str] = []
        sessions = {
            name: await SteppedSession.open(name, conninfo, *([setup] if setup else []))
            for name, setup in self.sessions.items()
        }
        pids = [session.pid for session in sessions.values()]
        waiting: dict[str, SteppedSession] = {}
        try:
            for name in permutation:
                owner, statement = self.steps[name]
                session = sessions[owner]
                session.begin(statement)
                shown = f"step {name}: {' '.join(statement.split())}"
                answer = await session.end(control, pids)
                if answer is None:
                    lines.append(f"{shown} <waiting ...>")
                    waiting[name] = session
                    continue
                lines += [shown, *_shown(answer)]
                for other, blocked in list(waiting.items()):
                    if (late := await blocked.end(control, pids)) is not None:
                        del waiting[other]
                        lines += [f"step {other}: <... completed>", *_shown(late)]
        finally:
            for session in sessions.values():
                await session.close()
        assert not waiting, f"still waiting at the end of {permutation}: {list(waiting)}"
        return lines


def _tokens(text: str) -> Iterator[str]:
    for found in _TOKEN.finditer(text):
        if not found[0].startswith("#"):
            yield next(group for group in found.groups() if group is not None).strip()


def _shown(answer: Answer) -> list[str]:
    """Rows, or an error, as isolationtester prints them."""
    if isinstance(answer, psycopg.Error):
        return [f"ERROR:  {answer.sqlstate}: {answer.diag.message_primary}"]
    if not answer.names:
        return []
    rows = [["" if value is None else str(value) for value in row] for row in answer.rows]
    widths = [max(map(len, column)) for column in zip(answer.names, *rows, strict=True)]
    lines = [
        "|".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (answer.names, *rows)
    ]
    rule = "+".join("-" * width for width in widths)
    return [lines[0], rule, *lines[1:], f"({len(rows)} row{'s' * (len(rows) != 1)})", ""]
