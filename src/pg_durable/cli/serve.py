"""up and worker: the commands that go on until they are told to stop."""

import shlex
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pg_durable.cli.logs import log_to_stderr
from pg_durable.cli.options import (
    Dsn,
    DsnArgument,
    MaxUserConnections,
    Quiet,
    Verbose,
    one_dsn,
)
from pg_durable.cli.output import note
from pg_durable.cli.target import as_uri, resolve_dsn
from pg_durable.settings import Settings

if TYPE_CHECKING:
    from pg_durable.embedded import EmbeddedServer


def up(
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            show_default="$PG_DURABLE_DATA, or a directory of yours",
            help="Where the server keeps its data.",
        ),
    ] = None,
    listen: Annotated[
        str | None,
        typer.Option(
            metavar="ADDR",
            show_default="a socket only you can use",
            help="Accept TCP connections, too, at these addresses; they need passwords.",
        ),
    ] = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port; see --listen.")] = 5432,
    max_user_connections: MaxUserConnections = None,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Start a PostgreSQL server of your own, with the df schema and a worker.

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
    note(f"starting PostgreSQL in {server.directory} …")
    with server:
        settings = Settings.load(dsn=server.dsn(), max_user_connections=max_user_connections)
        install(settings.dsn)
        _print_how_to_connect(server, listen)
        run_worker(settings, wait_for_server=True)
        note("stopping PostgreSQL …")
    note("stopped; pg-durable up goes on from here")


def worker(
    dsn: DsnArgument = None,
    dsn_option: Dsn = None,
    wait_for_server: Annotated[
        bool, typer.Option(help="Keep trying while no server answers, instead of giving up.")
    ] = False,
    max_user_connections: MaxUserConnections = None,
    poll_interval: Annotated[
        float | None,
        typer.Option(
            min=0, show_default="1", help="Seconds between looks for work it was not told of."
        ),
    ] = None,
    lease: Annotated[
        float | None,
        typer.Option(
            min=0, show_default="15", help="Seconds of silence before another worker takes over."
        ),
    ] = None,
    heartbeat_interval: Annotated[
        float | None,
        typer.Option(min=0, show_default="5", help="Seconds between its signs of life."),
    ] = None,
    grace: Annotated[
        float | None,
        typer.Option(
            min=0, show_default="10", help="Seconds that running steps get to finish at a stop."
        ),
    ] = None,
    max_result_bytes: Annotated[
        int | None,
        typer.Option(min=1, show_default="67108864", help="The largest result of one step."),
    ] = None,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Run the workflows of a database until Ctrl-C or SIGTERM.

    Any number of workers may serve one database, from any machine. A worker that is killed
    loses nothing: others take its workflows over, or it does when it is started again.

    Every setting can also be given in the environment, as PG_DURABLE_LEASE and so on.
    """
    import asyncio

    from pg_durable.client import probe
    from pg_durable.engine.worker import run_worker

    settings = Settings.load(
        dsn=resolve_dsn(one_dsn(dsn, dsn_option)),
        max_user_connections=max_user_connections,
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
