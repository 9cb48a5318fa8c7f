"""ARCHITECTURE.md and CONTRIBUTING.md name files, methods and functions: all of them exist."""

import re
from pathlib import Path

import pytest

import pg_durable

SOURCES = Path(pg_durable.__file__).parent
PROJECT = Path(__file__).parents[2]
FILES = [
    path.relative_to(PROJECT).as_posix()
    for folder in (SOURCES, PROJECT / "tests", PROJECT / "extension", PROJECT / "tools")
    for path in folder.rglob("*.*")
]


@pytest.fixture(params=["ARCHITECTURE.md", "CONTRIBUTING.md"])
def names(request: pytest.FixtureRequest) -> list[str]:
    return re.findall(r"`([^`\s]+)`", (PROJECT / request.param).read_text())


def test_files_exist(names: list[str]) -> None:
    named = {name for name in names if re.fullmatch(r"[\w/]+\.(py|sql|c|control)", name)}
    assert {
        name for name in named if not any(f"/{path}".endswith(f"/{name}") for path in FILES)
    } == set()


def test_methods_exist(names: list[str]) -> None:
    classes = _classes()
    for name in names:
        if match := re.fullmatch(r"([A-Z]\w+)\.(\w+)(\(\))?", name):
            assert re.search(rf"\b{match[2]}\b", classes.get(match[1], "")), name


def test_what_they_name_of_the_schema_exists(names: list[str]) -> None:
    texts = [path.read_text() for path in SOURCES.rglob("*.sql")]
    made = {
        name
        for text in texts
        for name in re.findall(r"(?:function|procedure|table) df\.(\w+)", text)
    }
    for name in names:
        if match := re.fullmatch(r"df\.(\w+)(\(.*\))?", name):
            assert match[1] in made, name


def _classes() -> dict[str, str]:
    """The text of each class, up to the next one."""
    found: dict[str, str] = {}
    for path in SOURCES.rglob("*.py"):
        parts = re.split(r"^class (\w+)\b", path.read_text(), flags=re.MULTILINE)
        found |= dict(zip(parts[1::2], parts[2::2], strict=True))
    return found
