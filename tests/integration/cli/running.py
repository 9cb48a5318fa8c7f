"""The command, with nothing of our own environment: as a process, or faster in this one."""

import asyncio
import io
import json
import os
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import Any
from unittest import mock

from pg_durable.cli import main

_NEED_A_PROCESS = ("up", "worker", "psql")  # they take signals over, or exec
_OURS = ("PG", "NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The standard output, which is one JSON document."""
        return json.loads(self.out)


def environment(**more: str) -> dict[str, str]:
    """The environment without what names a database or a terminal."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(_OURS)}
    return {**kept, "TERM": "xterm-256color", **more}


def command(*args: str) -> list[str]:
    """The words to start `pg-durable` with."""
    return [sys.executable, "-m", "pg_durable", *args]


class CliProcess:
    """Runs `pg-durable` as users do, with some variables set."""

    def __init__(self, **variables: str) -> None:
        self.variables = variables

    async def __call__(self, *args: str, given: str = "", **variables: str) -> Ran:
        """Run one command to its end; `given` is its standard input."""
        process = await asyncio.create_subprocess_exec(
            *command(*args),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment(**self.variables, **variables),
        )
        out, err = await process.communicate(given.encode())
        assert process.returncode is not None
        return Ran(code=process.returncode, out=out.decode(), err=err.decode())


class Cli(CliProcess):
    """Runs it in a thread of this process where it can, one at a time."""

    async def __call__(self, *args: str, given: str = "", **variables: str) -> Ran:
        """Run one command to its end; `given` is its standard input."""
        if args and args[0] in _NEED_A_PROCESS:
            return await super().__call__(*args, given=given, **variables)
        values = environment(**self.variables, **variables)
        return await asyncio.to_thread(_run_here, args, given, values)


def _run_here(args: tuple[str, ...], given: str, values: dict[str, str]) -> Ran:
    written = io.BytesIO(), io.BytesIO()
    out, err = (io.TextIOWrapper(buffer, "utf-8", write_through=True) for buffer in written)
    stdin = io.TextIOWrapper(io.BytesIO(given.encode()), "utf-8")
    code: Any = 0
    with (
        mock.patch.dict(os.environ, values, clear=True),
        mock.patch.multiple(sys, argv=["pg-durable", *args], stdin=stdin),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as end:
            code = end.code
    texts = [buffer.getvalue().decode() for buffer in written]
    return Ran(code=code or 0, out=texts[0], err=texts[1])
