"""The demo, as a newcomer runs it."""

import re
import subprocess
import sys


def test_the_demo_kills_its_worker_in_the_middle_of_a_step_and_proves_exactly_once() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "pg_durable", "demo"], capture_output=True, text=True, check=False
    )

    assert run.returncode == 0, run.stderr
    assert re.search(r"kill -9 \d+ with \d+ months loaded and the next one under way", run.stdout)
    attempts = re.search(r"The twelve months took (\d+) attempts", run.stdout)
    assert attempts is not None
    assert int(attempts.group(1)) >= 12
    assert "336,776" in run.stdout
    assert "✗ " not in run.stdout.split("Did every step")[1]
    assert "pg-durable up" in run.stdout.split("Next")[1]
