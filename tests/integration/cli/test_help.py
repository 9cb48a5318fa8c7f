"""The help, the version and the completion of the command."""

import re
import subprocess
import sys

import pytest

from integration.cli.running import Cli
from pg_durable import __version__

COMMANDS = (
    "up", "worker", "install", "extension", "psql", "start", "list", "show", "explain", "wait",
    "signal", "cancel", "doctor", "demo", "bench", "soak", "torture", "version",
)  # fmt: skip


async def test_the_main_help_lists_every_command_and_explains_what_holds_for_all(
    nowhere: Cli,
) -> None:
    ran = await nowhere("--help", COLUMNS="80")

    listed = re.findall(r"^  (\w+) {2,}[A-Z].*\.$", ran.out, re.MULTILINE)
    assert tuple(listed) == COMMANDS  # each with a whole sentence
    assert "PG_DURABLE_DSN" in ran.out
    assert "Exit codes" in ran.out


@pytest.mark.parametrize("name", COMMANDS)
async def test_the_help_of_each_command_fits_a_narrow_terminal(nowhere: Cli, name: str) -> None:
    ran = await nowhere(name, "--help", COLUMNS="80")

    assert ran.code == 0
    assert ran.out.startswith(f"Usage: pg-durable {name}")
    assert max(map(len, ran.out.splitlines())) <= 80
    assert "…" not in re.sub(r"df.start\(…\)", "", ran.out)
    for option in re.findall(r"^  (?:-\w, )?(--[\w-]+)(.*)$", ran.out, re.MULTILINE):
        assert option[1].strip(), f"{option[0]} has no help"


async def test_without_a_command_the_help_is_shown(nowhere: Cli) -> None:
    ran = await nowhere()

    assert "Usage: pg-durable" in ran.out + ran.err


def test_the_help_is_quick_for_it_imports_nothing_heavy() -> None:
    heavy = "{'psycopg', 'rich', 'orjson', 'asyncio', 'psutil'}"
    program = (
        "import sys; sys.argv = ['pg-durable', '--help']\n"
        "from pg_durable.cli import main\n"
        "try: main()\n"
        f"finally: print(sorted({heavy} & set(sys.modules)), file=sys.stderr)"
    )

    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)

    assert ran.stderr == b"[]\n"


async def test_the_version(nowhere: Cli) -> None:
    plain, as_json, flag = [
        await nowhere(*args) for args in (["version"], ["version", "--json"], ["--version"])
    ]

    assert plain.out == flag.out == f"pg-durable {__version__}\n"
    assert as_json.document == {"version": __version__}


async def test_the_shell_completes_commands(nowhere: Cli) -> None:
    ran = await nowhere(
        _PG_DURABLE_COMPLETE="complete_bash", COMP_WORDS="pg-durable w", COMP_CWORD="1"
    )

    assert ran.out.split() == ["worker", "wait"]
