"""What psql shows: each sql/<topic>.sql must print expected/<topic>.out, to the letter.

The files are in the manner of PostgreSQL's own regression tests (psql -X -a -q, errors and
notices where they happen). They print nothing that depends on the server's version, a
database's name or a random id.
"""

import difflib
import os
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
TOPICS = sorted(path.stem for path in (HERE / "sql").glob("*.sql"))


@pytest.mark.parametrize("topic", TOPICS)
def test_psql_prints_what_is_expected(
    topic: str, database: str, psql: Path, tmp_path: Path
) -> None:
    expected = HERE / "expected" / f"{topic}.out"
    got = tmp_path / f"{topic}.out"

    got.write_bytes(_run(psql, database, HERE / "sql" / f"{topic}.sql"))

    difference = "".join(
        difflib.unified_diff(
            expected.read_text("utf-8").splitlines(keepends=True) if expected.exists() else [],
            got.read_text("utf-8").splitlines(keepends=True),
            str(expected),
            str(got),
        )
    )
    assert not difference, f"\n{difference}\nIf this is right: cp {got} {expected}"


def _run(psql: Path, database: str, script: Path) -> bytes:
    """Everything psql prints for a script; standard input keeps file names out of the errors."""
    environment = {"PGCLIENTENCODING": "UTF8", "PGTZ": "UTC", "PGDATESTYLE": "ISO, MDY"}
    with script.open("rb") as stdin:
        return subprocess.run(
            [psql, "-X", "-a", "-q", "-d", database],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=os.environ | environment,
            timeout=60,
            check=True,
        ).stdout
