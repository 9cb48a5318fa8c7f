"""`make bench`: one run on an embedded server with fsync on, beside pgbench doing the same SQL."""

import argparse
import json
import platform
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.limit import pgbench_limit
from bench.measures import (
    Lab,
    idle_latency,
    one_step_throughput,
    sleeping_memory,
    start_rate,
    step_throughput,
)
from pg_durable import __version__
from pg_durable.embedded import EmbeddedServer
from pg_durable.schema import install


def main() -> None:
    """Measure and print; `--json` for other programs."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON document instead")
    parser.add_argument("--scale", type=float, default=1.0, help="0.1 does a tenth of the work")
    parser.add_argument("--sessions", type=int, default=None, help="max_user_connections")
    arguments = parser.parse_args()
    scale = arguments.scale

    with (
        tempfile.TemporaryDirectory(prefix="pg_durable_bench_") as folder,
        EmbeddedServer(Path(folder)) as server,
    ):
        install(server.dsn())
        lab = Lab(server.dsn(), sessions=arguments.sessions)
        figures: dict[str, float] = {}
        figures |= pgbench_limit(server, lab.sessions, scale)
        figures |= start_rate(lab, scale)
        figures |= one_step_throughput(lab, scale)
        figures |= step_throughput(lab, scale)
        figures |= pgbench_limit(server, lab.sessions, scale, name="pgbench_again_per_s")
        figures |= idle_latency(lab, scale)
        figures |= sleeping_memory(lab, scale)
    limit = (figures["pgbench_limit_per_s"] + figures["pgbench_again_per_s"]) / 2
    figures["steps_to_limit"] = figures["steps_per_s"] / limit
    figures["one_step_instances_to_limit"] = figures["one_step_instances_per_s"] / limit

    about = f"pg_durable {__version__}, Python {platform.python_version()}, {platform.platform()}"
    if arguments.json:
        json.dump({"about": about, **figures}, sys.stdout, indent=2)
        print()
        return
    table = Table(title=about)
    table.add_column("measure")
    table.add_column("value", justify="right")
    for name, value in figures.items():
        table.add_row(name, f"{value:,.2f}" if value < 100 else f"{value:,.0f}")
    Console().print(table)


if __name__ == "__main__":
    main()
