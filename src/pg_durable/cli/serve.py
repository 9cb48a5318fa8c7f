"""up and worker: the commands that go on until they are told to stop."""

import logging
import shlex
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pg_durable.cli.lifeline import end_with_input
from pg_durable.cli.logs import log_to_stderr
from pg_durable.cli.options import (
    Dsn,
    HttpPolicy,
    Identity,
    MaxUserConnections,
    Quiet,
    Verbose,
    one_dsn,
    settings_of,
)
from pg_durable.cli.processes import split_up
from pg_durable.cli.target import as_uri, names_of, resolve_dsn

if TYPE_CHECKING:
    from pg_durable.embedded import EmbeddedServer

log = logging.getLogger(__name__)


def _seconds(what: str, default: int) -> Any:
    return typer.Option(metavar="SECONDS", help=f"{what} [default: {default}]")


def up(
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Where the server keeps its data. [default: $PG_DURABLE_DATA, or a directory"
            " of yours]",
        ),
    ] = None,
    listen: Annotated[
        str | None,
        typer.Option(
            metavar="ADDR",
            help="Accept TCP connections, with passwords, at this address (* for all), too."
            " [default: only a socket that you alone can use]",
        ),
    ] = None,
    port: Annotated[
        int, typer.Option(metavar="PORT", min=1, max=65535, help="The port, for --listen.")
    ] = 5432,
    max_user_connections: MaxUserConnections = None,
    http_policy: HttpPolicy = None,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Start a PostgreSQL server of your own, with df and a worker.

    It prints how to connect, and runs until Ctrl-C or SIGTERM. The data stay: started again,
    it goes on with the workflows where they were.
    """
    from pg_durable.embedded import EmbeddedServer
    from pg_durable.engine.worker import run_workers
    from pg_durable.schema import install

    log_to_stderr(verbose=verbose, quiet=quiet)
    # Until the worker takes the signals over: leave by way of the server's release.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    server = EmbeddedServer(data, listen=listen, port=port)
    log.info("starting PostgreSQL in %s", server.directory)
    with server:
        settings = settings_of(
            dsn=server.dsn(), max_user_connections=max_user_connections, http_policy=http_policy
        )
        install(settings.dsn)
        _print_how_to_connect(server, listen)
        run_workers({"": settings}, wait_for_server=True, wait_for_schema=True)
        log.info("stopping PostgreSQL")
    log.info("stopped; the next pg-durable up goes on from here")


def worker(
    dsns: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="DSN...",
            show_default=False,
            help="The database, as libpq's URI or keywords; or several. The main help says what"
            " counts without it.",
        ),
    ] = None,
    dsn_option: Dsn = None,
    wait_for_server: Annotated[
        bool, typer.Option("--wait-for-server", help="Keep trying while no server answers.")
    ] = False,
    until_input_ends: Annotated[
        bool,
        typer.Option(
            "--until-input-ends",
            help="End at once when the standard input does, as it does when its parent dies.",
        ),
    ] = False,
    identity: Identity = None,
    wait_for_schema: Annotated[
        bool,
        typer.Option("--wait-for-schema", help="Wait for a df schema that is missing or too old."),
    ] = False,
    processes: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=0,
            max=64,
            envvar="PG_DURABLE_PROCESSES",
            show_envvar=False,
            help="Work in so many processes, each a worker of its own; 0: one for each core.",
        ),
    ] = 1,
    max_user_connections: MaxUserConnections = None,
    max_connections_per_role: Annotated[
        int | None,
        typer.Option(metavar="N", help="Those of one role; 0: no limit of its own. [default: 0]"),
    ] = None,
    execution_acquire_timeout: Annotated[
        float | None, _seconds("Longest wait of a step for its turn; 0: no limit.", 0)
    ] = None,
    retention_days: Annotated[
        int | None,
        typer.Option(metavar="DAYS", help="Remove ended instances after so many. [default: 30]"),
    ] = None,
    reconcile_interval: Annotated[
        float | None, _seconds("Pause between removals; 0: remove nothing.", 3600)
    ] = None,
    http_policy: HttpPolicy = None,
    poll_interval: Annotated[
        float | None, _seconds("Pause between looks for work that it was not told of.", 1)
    ] = None,
    lease: Annotated[
        float | None, _seconds("Silence after which another worker takes over.", 15)
    ] = None,
    heartbeat_interval: Annotated[
        float | None, _seconds("Pause between its signs of life.", 5)
    ] = None,
    grace: Annotated[
        float | None, _seconds("Time that running steps get to finish when it is stopped.", 10)
    ] = None,
    max_result_bytes: Annotated[
        int | None,
        typer.Option(metavar="N", help="The largest result of one step. [default: 67108864]"),
    ] = None,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Run the workflows of a database, or several, until Ctrl-C or SIGTERM.

    Any number of workers may serve one database, from any machine. A worker that is killed
    loses nothing: others take its workflows over, or it does when it is started again.

    One process uses one core, and runs some ten thousand steps a second; --processes begins
    several, and replaces those that are killed. All limits hold for each of them.

    Given several databases, each with a df schema, it serves them side by side; the settings
    hold for each. A schema newer than this program ends it, with exit code 1.

    Each setting may also be given in the environment: PG_DURABLE_LEASE for --lease, and so on;
    or in the database: alter database app set pg_durable.lease = 30.
    """
    import asyncio

    from pg_durable.client import probe
    from pg_durable.engine.worker import run_workers, served_database

    flags: dict[str, str | float | None] = {
        "identity": identity,
        "max_user_connections": max_user_connections,
        "max_connections_per_role": max_connections_per_role,
        "execution_acquire_timeout": execution_acquire_timeout,
        "retention_days": retention_days,
        "reconcile_interval": reconcile_interval,
        "http_policy": http_policy,
        "poll_interval": poll_interval,
        "lease": lease,
        "heartbeat_interval": heartbeat_interval,
        "grace": grace,
        "max_result_bytes": max_result_bytes,
    }
    if dsns and len(dsns) > 1:
        one_dsn(dsns[0], dsn_option)
        given = dsns
    else:
        given = [resolve_dsn(one_dsn(dsns[0] if dsns else None, dsn_option))]
    databases = {
        name: settings_of(dsn=dsn, **flags)
        for name, dsn in zip(names_of(given), given, strict=True)
    }
    log_to_stderr(verbose=verbose, quiet=quiet, about=served_database.get)
    if until_input_ends:
        end_with_input()
    if not wait_for_server:
        for dsn in given:
            asyncio.run(probe(dsn))  # says best why there is no connection
    if processes != 1:
        split_up(processes)
    run_workers(databases, wait_for_server=wait_for_server, wait_for_schema=wait_for_schema)


def _print_how_to_connect(server: "EmbeddedServer", listen: str | None) -> None:
    from pg_durable.cli.database import find_psql

    dsn = server.dsn()
    uri = as_uri(dsn)
    found_by_itself = resolve_dsn(None) == dsn
    print("PostgreSQL is up, with the df schema and a worker. Ctrl-C stops it; the data stay.")
    print()
    print(f"  psql        {shlex.join([find_psql(), dsn])}")
    print(f"  URI         {uri}")
    if found_by_itself:
        print("  or          pg-durable psql")
    else:
        print(f"  elsewhere   export PG_DURABLE_DSN={shlex.quote(uri)}")
    if listen:
        print("  over TCP    needs a password: \\password in psql sets one")
    print(f"  server log  {server.log_file}")
    print(flush=True)
