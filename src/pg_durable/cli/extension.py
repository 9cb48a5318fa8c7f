"""extension install."""

from pathlib import Path
from typing import Annotated

import typer

group = typer.Typer(
    help="Put the extension pg_durable on a server, for create extension.", no_args_is_help=True
)


@group.callback()
def _a_group_even_with_one_command() -> None:
    pass


@group.command("install")
def install(
    pg_config: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH", show_default=False, help="The server's pg_config. [default: on PATH]"
        ),
    ] = None,
    no_launcher: Annotated[
        bool,
        typer.Option(
            "--no-launcher", help="Leave out the launcher, which starts the worker with the server."
        ),
    ] = False,
) -> None:
    """Put the extension's files on the server of this machine.

    They are the control file, the scripts, and the launcher: a module to be preloaded, which
    starts the worker together with the server. To build it takes make, a C compiler and the
    server's development files; all else works without it.

      sudo pg-durable extension install --pg-config /usr/lib/postgresql/17/bin/pg_config
    """
    from pg_durable.extension import ServerFiles, install_files

    placed = install_files(ServerFiles.of(pg_config), launcher=not no_launcher)
    for file in placed.files:
        print(f"Installed {file}")
    if placed.no_launcher:
        print(f"No launcher was built: {placed.no_launcher}.")
    print()
    if not no_launcher and placed.no_launcher is None:
        print("To start the worker with the server, set in postgresql.conf and restart it:")
        print("  shared_preload_libraries = 'pg_durable'")
    print("In the database, as its owner or a superuser:")
    print("  create extension pg_durable;         -- where there is no df yet")
    print("  alter extension pg_durable update;   -- where there is an older one")
