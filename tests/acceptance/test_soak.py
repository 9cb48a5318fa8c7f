"""The soak works, with real processes. Whether anything grows is for `make soak` to say: what
this short one finds depends on the machine."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("held", [False, True], ids=["plain", "a transaction held open"])
def test_a_short_soak_samples_everything_and_loses_and_doubles_nothing(
    tmp_path: Path, held: bool
) -> None:
    out = tmp_path / "soak.json"
    run = subprocess.run(
        [
            *(sys.executable, "-m", "pg_durable", "soak", "--out", str(out)),
            *("--minutes", "0.15", "--calibrate", "3", "--every", "0.5", "--warming", "2"),
            *("--share", "0.3", *(["--open-transaction"] if held else [])),
        ],
        capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip

    assert run.returncode in (0, 1), run.stderr
    found = json.loads(out.read_text())
    assert run.returncode == (1 if found["faults"] else 0)
    assert found["left"] == 0
    assert found["instances"] > 10
    assert found["effects"] == found["steps"] > found["instances"]
    assert not found["worker_died"]
    assert (found["peak_after"] is not None) == held
    judged = {verdict["name"] for verdict in found["verdicts"]}
    assert {
        "worker memory, MB",
        "worker files",
        "worker threads",
        "server sessions",
        "tables, MB",
        "indexes, MB",
        "dead rows",
        "locks",
        "temporary files",
        "queue",
        "claim probe, ms",
        "WAL per instance, bytes",
        "latency p99, ms",
    } <= judged
    oldest = [window["figures"]["oldest snapshot, transactions"] for window in found["windows"]]
    assert not held or max(oldest) > found["instances"] / 4
