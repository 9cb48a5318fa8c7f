"""What the README shows is what happens."""

import asyncio
import re
import subprocess
from pathlib import Path

from pg_durable.engine.worker import Worker
from support.database import Database

README = Path(__file__).parents[2] / "README.md"


def blocks() -> list[tuple[str, str]]:
    """The fenced blocks, with their languages."""
    return re.findall(r"^```(\w*)\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)


def normal(text: str) -> str:
    """Without the blanks at line ends, the row counts and the frames of psql."""
    lines = [line.rstrip() for line in text.splitlines()]
    return "\n".join(line for line in lines if line and not re.fullmatch(r"\(\d+ rows?\)", line))


def run_psql(psql: Path, conninfo: str, text: str) -> str:
    """What psql prints for a script; an error in it fails the test."""
    command = [str(psql), "-X", "-v", "ON_ERROR_STOP=1", conninfo]
    run = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout


async def test_the_examples_print_what_the_readme_says(
    db: Database, worker: Worker, psql: Path
) -> None:
    await db.rows("create role app_role")
    printed = ""
    compared = 0

    for language, text in blocks():
        if language == "sql":
            printed = await asyncio.to_thread(run_psql, psql, db.conninfo, text)
            await db.wait_all()
        elif "pg-durable" not in text:
            for line in normal(text).splitlines():
                assert line.strip() in printed, f"the README shows {line!r}; printed was\n{printed}"
            compared += 1

    assert compared == 2
    await db.rows("drop owned by app_role")
    await db.rows("drop role app_role")


def test_the_readme_opens_with_the_two_commands() -> None:
    opening = README.read_text().split("##")[0]

    assert re.findall(r"^    make (\w+)", opening, re.MULTILINE) == ["demo", "test"]
