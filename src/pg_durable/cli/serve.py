"""up and worker: the commands that go on until they are told to stop."""

import logging
import shlex
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pg_durable.cli.logs import log_to_stderr
from pg_durable.cli.options import (
    Dsn,
    DsnArgument,
    HttpPolicy,
    MaxUserConnections,
    Quiet,
    Verbose,
    one_dsn,
)
from pg_durable.cli.target import as_uri, resolve_dsn
from pg_durable.errors import InvalidWorkflow
from pg_durable.settings import Settings

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
    from pg_durable.engine.worker import run_worker
    from pg_durable.schema import install

    log_to_stderr(verbose=verbose, quiet=quiet)
    # Until the worker takes the signals over: leave by way of the server's release.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    server = EmbeddedServer(data, listen=listen, port=port)
    log.info("starting PostgreSQL in %s", server.directory)
    with server:
        settings = _settings(
            dsn=server.dsn(), max_user_connections=max_user_connections, http_policy=http_policy
        )
        install(settings.dsn)
        _print_how_to_connect(server, listen)
        run_worker(settings, wait_for_server=True)
        log.info("stopping PostgreSQL")
    log.info("stopped; the next pg-durable up goes on from here")


def worker(
    dsn: DsnArgument = None,
    dsn_option: Dsn = None,
    wait_for_server: Annotated[
        bool, typer.Option("--wait-for-server", help="Keep trying while no server answers.")
    ] = False,
    max_user_connections: MaxUserConnections = None,
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
    """Run the workflows of a database until Ctrl-C or SIGTERM.

    Any number of workers may serve one database, from any machine. A worker that is killed
    loses nothing: others take its workflows over, or it does when it is started again.

    Each setting may also be given in the environment: PG_DURABLE_LEASE for --lease, and so on.
    """
    import asyncio

    from pg_durable.client import probe
    from pg_durable.engine.worker import run_worker

    settings = _settings(
        dsn=resolve_dsn(one_dsn(dsn, dsn_option)),
        max_user_connections=max_user_connections,
        http_policy=http_policy,
        poll_interval=poll_interval,
        lease=lease,
        heartbeat_interval=heartbeat_interval,
        grace=grace,
        max_result_bytes=max_result_bytes,
    )
    log_to_stderr(verbose=verbose, quiet=quiet)
    if not wait_for_server:
        asyncio.run(probe(settings.dsn))  # says best why there is no connection
    run_worker(settings, wait_for_server=wait_for_server)


def _settings(**flags: str | float | None) -> Settings:
    from pg_durable.steps.http.policy import read_policy

    try:
        settings = Settings.load(None, **flags)
        read_policy(settings.http_policy)
        return settings
    except InvalidWorkflow as error:
        raise typer.BadParameter(str(error)) from None


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
