"""What a soak reports: its faults, from samples that were made up."""

import io
import json
from dataclasses import replace

from rich.console import Console

from pg_durable.soak.report import Found
from pg_durable.soak.window import Window


def _found(memory_per_minute: float = 0.0) -> Found:
    windows = [
        Window(
            at=60.0 * minute,
            figures={
                "worker memory, MB": 60 + memory_per_minute * minute,
                "dead rows": 1e6 * minute,
            },
            sizes={"nodes": 40.0 + memory_per_minute * minute},
        )
        for minute in range(1, 31)
    ]
    return Found(
        about={}, peak=100.0, rate=70.0, peak_after=None, opened_at=600.0, left=0, instances=10,
        steps=33, effects=33, warming=300.0, windows=windows, worker_died=False,
    )  # fmt: skip


def test_memory_that_grows_is_a_fault_and_dead_rows_under_an_open_transaction_are_none() -> None:
    assert _found().faults() == []

    (fault,) = _found(memory_per_minute=0.5).faults()

    assert fault.startswith("worker memory, MB grew from 64.25 to 73.25; ")


def test_without_an_open_transaction_dead_rows_and_sizes_are_judged() -> None:
    found = replace(_found(memory_per_minute=2.0), opened_at=None)

    assert [fault.split(" grew ")[0] for fault in found.faults()] == [
        "worker memory, MB", "dead rows", "size of nodes, MB",
    ]  # fmt: skip


def test_what_is_lost_or_doubled_or_left_is_a_fault() -> None:
    assert replace(_found(), effects=34).faults() == ["34 steps took effect, of 33"]
    assert replace(_found(), left=2).faults() == ["2 of 10 instances have not ended"]
    assert replace(_found(), worker_died=True).faults() == ["a worker ended"]


def test_the_table_and_the_document_tell_each_figure_and_fault() -> None:
    printed = io.StringIO()
    found = _found(memory_per_minute=0.5)

    found.print(Console(file=printed, width=120))

    document = json.loads(json.dumps(found.document()))
    assert document["faults"] == found.faults()
    assert {verdict["name"] for verdict in document["verdicts"]} == {
        "worker memory, MB", "dead rows", "size of nodes, MB",
    }  # fmt: skip
    assert "grew" in printed.getvalue()
    assert found.faults()[0] in printed.getvalue().replace("\n", " ")
