"""What the README shows is what happens."""

import re
from pathlib import Path

from pg_durable.engine.worker import Worker
from support.database import Database
from support.documents import ROOT, blocks, normal, psql_session

README = ROOT / "README.md"


async def test_the_examples_print_what_the_readme_says(
    db: Database, worker: Worker, psql: Path
) -> None:
    await db.rows("create role app_role")
    printed: list[str] = []
    compared = 0

    async with psql_session(psql, db.conninfo) as session:
        for block in blocks(README):
            if block.language == "sql":
                printed = normal(await session.run(block.text))
                assert not [line for line in printed if line.startswith("ERROR:")]
                await db.wait_all()
            elif "pg-durable" not in block.text:
                for line in normal(block.text):
                    assert line in printed, f"the README shows {line!r}; printed was {printed}"
                compared += 1

    assert compared == 4
    await db.rows("drop owned by app_role")
    await db.rows("drop role app_role")


def test_the_readme_opens_with_the_two_commands() -> None:
    opening = README.read_text().split("##")[0]

    assert re.findall(r"^    make (\w+)", opening, re.MULTILINE) == ["demo", "test"]
