"""The commands by name, and the page `pg-durable --help`."""

from typing import Annotated

import typer

from pg_durable import __version__
from pg_durable.cli import control, database, instances, serve, show

_EPILOG = """
[bold]Which database:[/] the DSN given, else $PG_DURABLE_DSN, else libpq's own variables (PGHOST,
PGHOSTADDR, PGPORT, PGDATABASE, PGUSER, PGSERVICE, PGSERVICEFILE) if any is set, else the server
that `pg-durable up` runs, else libpq's defaults.

[bold]Exit codes:[/] 0 all is well; 1 an error, told in one line on the standard error; 2 a command
line that cannot be understood; 3 `wait`: the instance failed or was cancelled; 4 `wait`: the time
is up.
"""

app = typer.Typer(
    help="Durable SQL workflows for PostgreSQL: each step takes effect exactly once.",
    epilog=_EPILOG,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"pg-durable {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[  # noqa: ARG001 -- handled before any command runs
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_print_version, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    pass


_PANELS = {
    "Run": [serve.up, serve.worker, database.install, database.psql, database.demo],
    "Workflows": [
        control.start,
        instances.list_instances,
        show.show,
        instances.explain,
        control.wait,
        control.cancel,
    ],
    "About": [database.version],
}
_NAMES = {instances.list_instances: "list"}
_PASS_ARGUMENTS_ON = {"allow_extra_args": True, "ignore_unknown_options": True}

for _panel, _commands in _PANELS.items():
    for _command in _commands:
        app.command(
            _NAMES.get(_command),
            rich_help_panel=_panel,
            context_settings=_PASS_ARGUMENTS_ON if _command is database.psql else None,
        )(_command)
