"""Settings and command lines that make no sense: one line that says where, what and what else."""

import os
import subprocess
import sys

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pg_durable.errors import InvalidWorkflow
from pg_durable.settings import About, Settings, numbers
from support.fuzz.profile import DEPTH, examples
from support.fuzz.texts import TEXTS

_WORDS = TEXTS | st.sampled_from(
    [
        *("1", "0", "-0", "1_000", "1e3", "0x10", "٣", " 5 ", "+5", "5s", "nan", "inf", "-inf"),
        *("1e400", "9" * 400, "9" * 5000, "0.1", ".5", "5.", "true", "on", "1,5", "2147483648"),
    ]
)
_NUMBERS = st.sampled_from(numbers())


@examples(500)
@given(item=_NUMBERS, word=_WORDS, source=st.sampled_from(["flag", "environment", "database"]))
def test_a_setting_is_within_its_range_or_refused_by_name(
    item: "object", word: str, source: str
) -> None:
    name: str = item.name  # type: ignore[attr-defined]
    about: About = item.metadata["about"]  # type: ignore[attr-defined]
    said = {
        "flag": f"--{name.replace('_', '-')}",
        "environment": f"PG_DURABLE_{name.upper()}",
        "database": f"pg_durable.{name}",
    }[source]
    try:
        if source == "flag":
            settings = Settings.load({}, **{name: word})
        elif source == "environment":
            settings = Settings.load({said: word})
        else:
            settings = Settings.load({}).with_those_of_database({name: word})
    except InvalidWorkflow as error:
        told = error.message
    else:
        assert about.least <= getattr(settings, name) <= about.most
        return

    assert said in told or name in told
    assert "from" in told or "it needs 2" in told


_SENSELESS = [
    (["nonsense"], 2),
    (["start", "\udcff"], 1),
    (["start", ""], 1),
    (["show", "nobody"], 1),
    (["signal", "00000000", ""], 1),
    (["worker", "--lease", "nan"], 2),
    (["worker", "--http-policy", "://"], 2),
]
if DEPTH > 1:  # a process each
    _SENSELESS += [
        (["start"], 2),
        (["start", "select 1", "-f", "/nowhere"], 2),
        (["start", "-f", "/nowhere"], 2),
        (["start", "-f", "/"], 2),
        (["show", ""], 1),
        (["explain", "{"], 1),
        (["wait", "00000000", "--timeout", "-1"], 2),
        (["wait", "00000000", "--timeout", "soon"], 2),
        (["signal", "00000000"], 2),
        (["signal", "00000000", "x", "\x01"], 1),
        (["cancel", "\u202e"], 1),
        (["list", "--limit", "-1"], 2),
        (["list", "--limit", "99999999999999999999"], 0),
        (["list", "--status", "odd"], 2),
        (["worker", "--lease", "-1"], 2),
        (["worker", "--max-user-connections", "1e3"], 2),
        (["worker", "--identity", "root"], 2),
        (["up", "--port", "0"], 2),
        (["install", "a b c"], 1),
    ]


@pytest.mark.parametrize(("arguments", "code"), _SENSELESS)
def test_a_command_line_that_makes_no_sense_is_answered_in_a_line(
    database: str, arguments: list[str], code: int
) -> None:
    command = [sys.executable, "-m", "pg_durable", *arguments]

    done = subprocess.run(
        command,
        env={**os.environ, "PG_DURABLE_DSN": database},
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=100,
    )

    said = (done.stdout + done.stderr).decode(errors="replace")
    assert (done.returncode, "Traceback" in said) == (code, False), said
    assert len(done.stderr.decode(errors="replace").strip().splitlines()) in (1, 4), said


@pytest.mark.skipif(DEPTH == 1, reason="a process for each of hundreds of words")
def test_any_word_may_follow_any_command(database: str) -> None:
    commands = st.sampled_from(
        ["start", "list", "show", "explain", "wait", "signal", "cancel", "doctor", "version"]
    )

    @examples(5)
    @given(command=commands, words=st.lists(TEXTS, max_size=3))
    def run(command: str, words: list[str]) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "pg_durable", command, *words],
            env={**os.environ, "PG_DURABLE_DSN": database},
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=100,
        )
        said = (done.stdout + done.stderr).decode(errors="replace")
        assert done.returncode in (0, 1, 2, 3, 4, 5), said
        assert "Traceback" not in said

    with psycopg.connect(database) as session:
        session.execute("select 1")
    run()
