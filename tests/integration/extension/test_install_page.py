"""docs/install.md: each section's commands are run, in a database of its own."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from pg_durable.embedded import EmbeddedServer
from pg_durable.schema import install
from support.database import Database
from support.documents import ROOT, Block, blocks
from support.extension import empty_database

PAGE = ROOT / "docs" / "install.md"
# They fetch from an index, stay, or have been done by the test.
_NOT_RUN = ("pip install", "pg-durable worker", "createdb")


@dataclass(frozen=True, slots=True)
class Section:
    """A section of the page: what it finds in its database, and what must be there after it."""

    heading: str
    finds: str
    leaves: str


SECTIONS = (
    Section("pg-durable install", "", "schema"),
    Section("create extension", "", "extension"),
    Section("Upgrade", "extension", "extension"),
    Section("From pg-durable install to the extension", "schema", "extension"),
    Section("Remove", "extension", ""),
    Section("Backup and restore", "schema", "schema"),
)


@pytest.fixture
def no_app_role(extension_server: EmbeddedServer) -> Iterator[None]:
    """Drop the role that the page creates, after the database with its rights."""
    yield
    with psycopg.connect(extension_server.dsn(), autocommit=True) as admin:
        admin.execute("drop role if exists app_role")


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: str(section.heading))
async def test_the_commands_of_a_section_do_what_it_says(
    no_app_role: None,
    extension_server: EmbeddedServer,
    fresh: Database,
    tmp_path: Path,
    section: Section,
) -> None:
    (tmp_path / "src").symlink_to(ROOT / "src")
    shutil.copytree(ROOT / "extension", tmp_path / "extension")
    if section.finds == "schema":
        install(fresh.conninfo)
    elif section.finds == "extension":
        await fresh.rows("create extension pg_durable")
    bin_dir = await fresh.scalar("select setting from pg_config where name = 'BINDIR'")

    with empty_database(extension_server) as another:
        for block in _blocks(section.heading):
            if block.text == "drop schema df cascade;\n":  # the way out of the other way in
                install(fresh.conninfo)
            if block.language == "sql":
                await fresh.rows(block.text)
            for line in block.text.splitlines() if block.language == "sh" else ():
                if not line.startswith(_NOT_RUN):
                    _run(_here(line, fresh.conninfo, another, bin_dir), bin_dir, tmp_path)
        if section.heading == "Backup and restore":
            restored = await Database.connect(another)
            await restored.start("'select 1' ~> 'select 2'")
            await restored.close()

    assert section.leaves == await fresh.scalar(
        "select case when exists (select from pg_extension where extname = 'pg_durable')"
        " then 'extension' when to_regnamespace('df') is not null then 'schema' else '' end"
    )


def test_every_block_of_the_page_is_in_one_of_the_sections() -> None:
    run = [block.line for section in SECTIONS for block in _blocks(section.heading)]

    left = [b.text for b in blocks(PAGE) if b.line not in run and b.language in ("sql", "sh")]
    assert left == ["pip install pg-durable\n"]


def _blocks(heading: str) -> list[Block]:
    """The blocks of a section."""
    lines = PAGE.read_text("utf-8").splitlines()
    first = lines.index(f"## {heading}") + 1
    later = [n for n, line in enumerate(lines, 1) if n > first and line.startswith("## ")]
    last = min(later, default=len(lines))
    return [block for block in blocks(PAGE) if first < block.line < last]


def _here(line: str, database: str, another: str, bin_dir: str) -> list[str]:
    """A command of the page as it is on this machine."""
    line = line.removeprefix("sudo ").replace("/usr/lib/postgresql/17/bin", bin_dir)
    words = []
    for word in line.split():
        option, name = re.match(r"(--[\w-]+=|)(.*)", word).groups()  # type: ignore[union-attr]
        if name.startswith("postgresql:"):
            name = another if name.endswith("/restored") else database
        words.append(option + name)
    if words[0] == "make":
        words.append(f"PYTHON3={sys.executable}")
    return words


def _run(words: list[str], bin_dir: str, folder: Path) -> None:
    programs = f"{Path(sys.executable).parent}:{bin_dir}"
    environment = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL")}
    environment["PATH"] = f"{programs}:{environment['PATH']}"
    ran = subprocess.run(
        words, capture_output=True, text=True, check=False, cwd=folder, env=environment
    )
    assert ran.returncode == 0, f"{words}: {ran.stdout}{ran.stderr}"
