"""The benchmark runs and gives every figure. What they are is for people to judge."""

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from pg_durable.bench.measures import MEASURES
from support.waiting import until

# Workers are started and stopped for each measure, which takes long where much else runs.
pytestmark = pytest.mark.timeout(300)

# Each part takes its own server, and no longer than the others.
PARTS = {
    "one_step chain_3 chain_10 chain_100 join_8": {
        "one_step_of_limit",
        "one_step_worker_cpu_per_step",
        "chain_3_steps_per_s",
        "chain_10_of_limit",
        "chain_10_wal_bytes_per_step",
        "chain_10_commits_per_step",
        "chain_10_server_cpu_per_step",
        "chain_100_instances_per_s",
        "join_8_steps_per_s",
    },
    "loop_10 result_1kb result_1mb signals starts": {
        "loop_10_steps_per_s",
        "result_1kb_steps_per_s",
        "result_1mb_steps_per_s",
        "signals_per_s",
        "starts_bulk_per_s",
        "starts_single_per_s",
    },
    "idle half_load signal_to_resume": {
        "idle_one_step_seen_p50_ms",
        "idle_three_steps_p99_ms",
        "half_load_starts_per_s",
        "half_load_p95_ms",
        "signal_to_resume_seen_max_ms",
    },
    "timers idle_traffic": {"timer_late_p99_ms", "idle_statements_per_second"},
    "dead_rows round_trips sleepers": {
        "one_step_dead_rows_per_step",
        "chain_10_round_trips_per_step",
        "one_step_statements_per_step",
        "sleepers_worker_memory_growth",
        "sleepers_claim_p99_ms",
        "sleepers_wake_late_p99_ms",
    },
    "tenants history held": {
        "tenants_to_one_role",
        "history_cpu_per_step_to_empty",
        "held_throughput_falls_by",
    },
    "workers": {"workers_1_steps_per_s", "workers_4_to_1"},
}


def bench(*args: str) -> list[str]:
    return [sys.executable, "-m", "pg_durable", "bench", "--runs", "1", "--scale", "0.002", *args]


def run(tmp_path: Path, *args: str) -> tuple[subprocess.CompletedProcess[str], Any]:
    file = tmp_path / "bench.json"
    done = subprocess.run(
        bench(*args, "--json", str(file), "--results", str(tmp_path / "kept")),
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done, json.loads(file.read_text())


def test_the_parts_are_all_there_is() -> None:
    assert sorted(" ".join(PARTS).split()) == sorted(MEASURES)


@pytest.mark.parametrize("part", PARTS)
def test_the_benchmark_gives_every_figure(tmp_path: Path, part: str) -> None:
    done, document = run(tmp_path, *part.split())

    assert PARTS[part] | {"pgbench_limit_per_s"} <= document["figures"].keys()
    assert not document["failures"]
    assert {"CPU", "memory", "kernel", "PostgreSQL", "settings", "Python"} <= document[
        "about"
    ].keys()
    assert "fsync=on, synchronous_commit=on" in done.stdout
    figures = document["figures"]
    if "chain_10" in part:
        # Claims, and what an instance begins and ends with, weigh more the fewer steps there are.
        assert 1 <= figures["chain_10_commits_per_step"]["median"] < 1.5
    if "round_trips" in part:
        assert 1 <= figures["chain_10_round_trips_per_step"]["median"] < 4


def test_what_takes_long_is_done_in_every_run_where_it_is_named(tmp_path: Path) -> None:
    _, document = run(tmp_path, "history", "--runs", "2")

    assert len(document["figures"]["history_count"]["values"]) == 2


def test_results_are_kept_and_can_be_shown_compared_and_drawn(tmp_path: Path) -> None:
    run(tmp_path, "one_step", "idle")
    [kept] = (tmp_path / "kept").glob("*.json")

    done, document = run(
        tmp_path, "--show", str(kept), "--compare", "last", "--plots", str(tmp_path / "plots")
    )

    assert "Compared with" in done.stdout
    assert document == json.loads(kept.read_text())
    for name in ("throughput", "latency"):
        assert (tmp_path / "plots" / f"{name}.png").read_bytes().startswith(b"\x89PNG")


async def test_a_benchmark_that_is_killed_leaves_no_process_behind(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *bench("sleepers", "--results", str(tmp_path)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    ours = psutil.Process(process.pid)
    family: set[psutil.Process] = set()

    async def works() -> bool:
        family.update(ours.children(recursive=True))
        return any(_is_worker(child) for child in family)

    await until(works, within=60)
    process.send_signal(signal.SIGKILL)
    await process.wait()

    async def all_gone() -> bool:
        return not any(_lives(child) for child in family)

    await until(all_gone, within=60)


def _is_worker(process: psutil.Process) -> bool:
    try:
        return "worker" in process.cmdline()
    except psutil.Error:
        return False


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
