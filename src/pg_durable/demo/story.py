"""What the demo shows, from an empty directory to a finished workflow."""

import subprocess
import sys
import tempfile
import time
from importlib import resources
from pathlib import Path
from typing import Any

import psycopg
from rich.console import Console
from rich.syntax import Syntax
from rich.table import Table

from pg_durable.demo import data
from pg_durable.embedded import EmbeddedServer
from pg_durable.errors import PgDurableError, WaitTimeout
from pg_durable.schema import install

_KILL_AFTER_MONTHS = 5
_PATIENCE = 120.0  # seconds; the demo takes a few


def run_demo(console: Console | None = None) -> None:
    """Run the demo in a temporary directory.

    Raises:
        PgDurableError: it cannot be set up, or a count is not what it must be.
    """
    console = console or Console(highlight=False)
    with tempfile.TemporaryDirectory(prefix="pg_durable_demo_") as folder:
        with console.status("Starting an embedded PostgreSQL …"):
            server = EmbeddedServer(Path(folder))
            server.start()
        try:
            _tell(console, server.dsn())
        finally:
            server.release()


def _tell(console: Console, dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as session:
        console.print(f"[bold]1[/] PostgreSQL {_value(session, 'show server_version')} is up.")
        install(dsn)
        console.print("[bold]2[/] The df schema is installed.")
        flights = data.load(session)
        console.print(f"[bold]3[/] {flights:,} flights of 2013 copied into flights_raw.")

        workflow = (resources.files("pg_durable") / "demo" / "workflow.sql").read_text()
        instance = str(_value(session, workflow))
        console.print(f"[bold]4[/] Workflow {instance} is started. Its graph:\n")
        _print_graph(console, session, instance)

        worker = _start_worker(dsn)
        console.print(f"\n[bold]5[/] A worker runs it (pid {worker.pid}).")
        try:
            killed_at = _follow(console, session, instance, until_months=_KILL_AFTER_MONTHS)
            worker.kill()
            worker.wait()
            console.print(
                f"[bold red]   kill -9 {worker.pid}[/] with {killed_at} months loaded"
                " and the next one under way."
            )
            worker = _start_worker(dsn)
            console.print(f"[bold]6[/] Another worker goes on (pid {worker.pid}).")
            _follow(console, session, instance, until_months=None)
        finally:
            worker.terminate()
            worker.wait()

        console.print("\n[bold]7[/] The result, from df.result:\n")
        _print_report(console, session, instance)
        console.print("\n[bold]8[/] Did every step take effect exactly once? From the counts:\n")
        _prove(console, session, flights)
    _what_next(console)


def _start_worker(dsn: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "pg_durable", "worker", dsn, "--quiet"])


def _follow(
    console: Console, session: psycopg.Connection, instance: str, until_months: int | None
) -> int:
    """Print what completes; returns the number of months loaded when enough are, or at the end."""
    end = time.monotonic() + _PATIENCE
    shown: int = 0
    while True:
        row = session.execute(_PROGRESS, {"instance": instance}).fetchone()
        assert row is not None
        status, steps, months, attempts = row
        if steps != shown:
            shown = steps
            console.print(f"   {steps:2d} steps completed, {months:2d} months loaded")
        if status == "failed":
            raise PgDurableError(f"The workflow failed: see instance {instance}.")
        if status == "completed":
            return int(months)
        if until_months is not None and until_months <= months < attempts:
            return int(months)  # more was begun than is committed: in the middle of a step
        if time.monotonic() > end:
            raise WaitTimeout(f"Instance {instance} is not done after {_PATIENCE:.0f} s.")
        time.sleep(0.005)


_PROGRESS = """
    select df.status(%(instance)s),
      (select count(*) from df.nodes
       where instance_id = %(instance)s and node_type = 'SQL' and status = 'completed'),
      (select count(distinct month) from flights),
      (select case when is_called then last_value else 0 end from load_attempts)
"""


def _print_graph(console: Console, session: psycopg.Connection, instance: str) -> None:
    tree = str(_value(session, "select df.explain(%s)", instance))
    lines = [line.rstrip() for line in tree.splitlines()]
    # Eleven of the twelve months look alike.
    loads = [n for n, line in enumerate(lines) if "flights_raw" in line]
    hidden = set(loads[1:-1])
    for number, line in enumerate(lines):
        if number not in hidden:
            console.print(Syntax(line, "text", background_color="default"), end="")
        elif number == loads[1]:
            console.print(f"   … {len(hidden)} more months …", style="dim")


def _print_report(console: Console, session: psycopg.Connection, instance: str) -> None:
    report = _value(
        session,
        "select result from df.nodes n join df.instances i"
        " on n.instance_id = i.id and n.id = i.root_node where i.id = %s",
        instance,
    )
    rows = report["rows"]
    table = Table()
    for name in rows[0]:
        table.add_column(name, justify="left" if name == "airline" else "right")
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    console.print(table)


def _prove(console: Console, session: psycopg.Connection, flights: int) -> None:
    checks = [
        ("flights in the file", "select count(*) from flights_raw", flights),
        (
            "flights loaded (kept + cancelled)",
            "select (select count(*) from flights) + (select count(*) from cancelled_flights)",
            flights,
        ),
        (
            "months whose count differs from the file's",
            "select count(*) from (select month, count(*) from flights_raw group by 1"
            " except select month, count(*) from (select month from flights"
            " union all select month from cancelled_flights) l group by 1) d",
            0,
        ),
        ("airlines in the file", "select count(distinct carrier) from flights_raw", 16),
        ("rows in delay_by_airline", "select count(*) from delay_by_airline", 16),
        ("rows in delay_by_origin", "select count(*) from delay_by_origin", 3),
        ("alerts raised", "select count(*) from alerts", 1),
    ]
    table = Table()
    table.add_column("what")
    table.add_column("counted", justify="right")
    table.add_column("expected", justify="right")
    table.add_column("")
    wrong = []
    for what, query, expected in checks:
        counted = int(_value(session, query))
        table.add_row(what, f"{counted:,}", f"{expected:,}", "✓" if counted == expected else "✗")
        if counted != expected:
            wrong.append(what)
    console.print(table)
    attempts = int(_value(session, "select last_value from load_attempts"))
    console.print(
        f"The twelve months took {attempts} attempts, counted by a sequence, which no rollback"
        " undoes;\neach month took effect once.",
        soft_wrap=True,
    )
    if wrong:
        raise PgDurableError(f"These counts are wrong: {', '.join(wrong)}.")


def _what_next(console: Console) -> None:
    console.print(
        "\n[bold]Next[/], with a database that stays:\n"
        "   pg-durable up            an embedded PostgreSQL with a worker\n"
        "   pg-durable psql          in another terminal, then:\n"
        "     select df.start('select 100 as amount' |=> 'total'"
        " ~> 'select $total * 2 as doubled', 'double');\n"
        "   pg-durable list          what runs and what ran\n",
        soft_wrap=True,
    )


def _value(session: psycopg.Connection, query: Any, *params: object) -> Any:
    row = session.execute(query, params or None).fetchone()
    assert row is not None
    return row[0]
