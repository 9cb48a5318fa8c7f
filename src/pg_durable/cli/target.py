"""Which database a command means, and a session with it."""

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote, urlencode

if TYPE_CHECKING:
    from pg_durable.client import Client

DSN_VARIABLE = "PG_DURABLE_DSN"
LIBPQ_VARIABLES = (
    "PGHOST",
    "PGHOSTADDR",
    "PGPORT",
    "PGDATABASE",
    "PGUSER",
    "PGSERVICE",
    "PGSERVICEFILE",
)

_T = TypeVar("_T")


def resolve_dsn(
    given: str | None,
    *,
    environment: Mapping[str, str] | None = None,
    running: Callable[[], str | None] | None = None,
) -> str:
    """Return the connection string to use; empty means libpq's environment and defaults.

    The first of these counts: what was `given`, PG_DURABLE_DSN, libpq's own environment,
    the embedded server of the default directory if it is `running`, libpq's defaults.
    """
    environment = os.environ if environment is None else environment
    if given is not None:
        return given
    if dsn := environment.get(DSN_VARIABLE):
        return dsn
    if any(environment.get(name) for name in LIBPQ_VARIABLES):
        return ""
    return (running or _running_embedded)() or ""


def with_client(dsn: str | None, work: "Callable[[Client], Awaitable[_T]]") -> _T:
    """Do some work in a session with the database meant, and return what it returns."""
    import asyncio

    from pg_durable.client import Client

    async def connected() -> _T:
        async with await Client.connect(resolve_dsn(dsn)) as client:
            return await work(client)

    return asyncio.run(connected())


def as_uri(dsn: str) -> str:
    """The same connection string as a URI, for programs that want one."""
    from pg_durable.wire.dsn import parse_dsn

    parts = parse_dsn(dsn)
    user, database = (quote(parts.pop(name, ""), safe="") for name in ("user", "dbname"))
    return (
        f"postgresql://{user}{'@' if user else ''}/{database}?{urlencode(parts, quote_via=quote)}"
    )


def names_of(dsns: Sequence[str]) -> list[str]:
    """A name for each database, for the log: short, distinct, and without a password."""
    from pg_durable.wire.dsn import parse_dsn

    all_parts = [parse_dsn(dsn) for dsn in dsns]
    names = [parts.get("dbname") or parts.get("service") or "" for parts in all_parts]
    if len(set(names)) < len(names):
        names = [
            f"{parts.get('host', '')}:{parts.get('port', '')}/{name}"
            for parts, name in zip(all_parts, names, strict=True)
        ]
    return [
        name if names.count(name) == 1 else f"{name}#{number}"
        for number, name in enumerate(names, 1)
    ]


def _running_embedded() -> str | None:
    from pg_durable.embedded import running_dsn

    return running_dsn()
