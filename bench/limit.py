"""The limit: pgbench doing the same statement and one UPDATE per transaction."""

import re
import subprocess
import tempfile
from pathlib import Path

import psycopg

from pg_durable.embedded import EmbeddedServer, find_binaries

_ROWS = 100_000
_SCRIPT = """\\set i random(1, 100000)
begin;
select 1 as a;
update bench_steps
  set status = 'completed', result = '{"rows":[{"a":1}],"row_count":1}' where id = :i;
commit;
"""


def pgbench_limit(
    server: EmbeddedServer, sessions: int, scale: float, name: str = "pgbench_limit_per_s"
) -> dict[str, float]:
    """Transactions a second with as many sessions as the worker has, prepared statements."""
    with psycopg.connect(server.dsn(), autocommit=True) as session:
        session.execute("drop table if exists bench_steps")
        session.execute(
            "create table bench_steps (id int primary key, status text, result json)"
            " with (fillfactor = 70)"
        )
        session.execute(f"insert into bench_steps select g from generate_series(1, {_ROWS}) g")
        session.execute("vacuum analyze bench_steps")
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write(_SCRIPT)
        script.flush()
        output = subprocess.run(
            [
                find_binaries().program("pgbench"),
                *("-n", "-M", "prepared", "-f", script.name),
                *("-c", str(sessions), "-j", "2", "-T", str(max(2, int(10 * scale)))),
                server.dsn(),
            ],
            check=True,
            capture_output=True,
            text=True,
            cwd=Path("/"),
        ).stdout
    found = re.search(r"tps = ([0-9.]+)", output)
    assert found is not None, output
    return {name: float(found.group(1))}
