"""A short torture: `make torture` is the long one."""

import asyncio
import json
import sys

import pytest


# Seeds that have half of all kinds of faults between them.
@pytest.mark.timeout(900)
async def test_a_minute_of_torture_loses_doubles_and_leaks_nothing() -> None:
    process = await asyncio.create_subprocess_exec(
        *(
            sys.executable,
            "-m",
            "pg_durable",
            "torture",
            "--seed",
            "2948",
            "--rounds",
            "3",
            "--json",
        ),
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()

    report = json.loads(said)
    violations = [violation for one in report["rounds"] for violation in one["violations"]]
    assert violations == []
    assert process.returncode == 0
    assert len(report["rounds"]) == 3
    for one in report["rounds"]:
        assert one["faults"]
        assert one["statuses"]["completed"] > 0
        assert "pending" not in one["statuses"]
        assert "running" not in one["statuses"]


async def test_a_fault_that_there_is_not_is_named() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pg_durable", "torture", "--faults", "worker-killed,earthquake"),
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate()

    assert process.returncode == 2
    assert b"earthquake" in said
    assert b"black-hole" in said
