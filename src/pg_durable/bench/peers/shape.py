"""What the modules of the single peers share: the shapes of work, the step's tally, URIs."""

import os
from pathlib import Path
from urllib.parse import quote, urlencode

from psycopg.conninfo import conninfo_to_dict

from pg_durable.bench.peers.tally import Tally

STEPS = {"one_step": 1, "chain_10": 10}
TALLY = "PG_DURABLE_BENCH_TALLY"  # names the directory


def uri(dsn: str, scheme: str = "postgresql") -> str:
    """A connection string as a URI, which peers want."""
    parts = {key: str(value) for key, value in conninfo_to_dict(dsn).items()}
    user = quote(parts.pop("user", "postgres"), safe="")
    password = quote(parts.pop("password", ""), safe="")
    database = quote(parts.pop("dbname"), safe="")
    account = f"{user}:{password}" if password else user
    # Not all accept an empty host, and for all of them the one among the parameters counts.
    return f"{scheme}://{account}@localhost/{database}?{urlencode(parts, quote_via=quote)}"


def start_tally() -> Tally:
    """Where this process counts the steps it runs."""
    return Tally(Path(os.environ[TALLY]))
