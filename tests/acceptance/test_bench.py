"""The benchmark runs and gives every figure. What they are is for people to judge."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_benchmark_gives_every_figure_and_one_commit_a_step() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "bench", "--json", "--scale", "0.02"],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip

    assert run.returncode == 0, run.stderr
    figures = json.loads(run.stdout)
    assert {
        "pgbench_limit_per_s",
        "one_step_instances_per_s",
        "steps_per_s",
        "steps_to_limit",
        "idle_step_p50_ms",
        "idle_step_p99_ms",
        "wal_bytes_per_step",
        "commits_per_step",
        "memory_mb_with_sleepers",
    } <= figures.keys()
    # Starting and stopping the worker takes a few, which weigh more the fewer steps there are.
    assert 1 <= figures["commits_per_step"] < 1.5
