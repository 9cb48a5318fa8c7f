"""The commands by name, and the page `pg-durable --help`."""

import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from pg_durable import __version__
from pg_durable.cli import (
    bench,
    control,
    database,
    doctor,
    extension,
    instances,
    launched,
    serve,
    show,
    soak,
    torture,
)

_HELP = """Durable SQL workflows for PostgreSQL: each step takes effect exactly once.

No PostgreSQL at hand? `pg-durable up` runs one, with all that is needed."""

_EPILOG = """Which database: the DSN given, else $PG_DURABLE_DSN, else libpq's own variables if one
of them is set (PGHOST, PGHOSTADDR, PGPORT, PGDATABASE, PGUSER, PGSERVICE, PGSERVICEFILE), else
the server that `pg-durable up` runs, else libpq's defaults.

Exit codes: 0 all is well; 1 an error, told in one line on the standard error; 2 a command line
that makes no sense; 3 `wait`: the instance failed or was cancelled; 4 `wait`: the time is up;
5 `doctor`: there is a problem."""

_COMMANDS: dict[str, Callable[..., None]] = {
    "up": serve.up,
    "worker": serve.worker,
    "install": database.install,
    "psql": database.psql,
    "start": control.start,
    "list": instances.list_instances,
    "show": show.show,
    "explain": instances.explain,
    "wait": control.wait,
    "signal": control.signal,
    "cancel": control.cancel,
    "doctor": doctor.doctor,
    "demo": database.demo,
    "bench": bench.bench,
    "soak": soak.soak,
    "torture": torture.torture,
    "version": database.version,
}
_PASS_ARGUMENTS_ON = {"allow_extra_args": True, "ignore_unknown_options": True}


def _help_of(command: Callable[..., None]) -> str:
    """The docstring; Typer wraps its paragraphs, save the indented ones, which are examples."""
    text = inspect.cleandoc(command.__doc__ or "")
    return text.replace("\n\n  ", "\n\n\b\n  ")


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"pg-durable {__version__}")
        raise typer.Exit


class _InOrder(TyperGroup):
    """Lists the commands as they are above, with the groups of commands in their places."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The names, as --help shows them."""
        names = list(_COMMANDS)
        names.insert(names.index("install") + 1, "extension")
        return names


app = typer.Typer(
    cls=_InOrder,
    help=_HELP,
    epilog=_EPILOG,
    no_args_is_help=True,
    rich_markup_mode=None,  # plain text: the frames would cut long options on a narrow terminal
    pretty_exceptions_enable=False,
)


@app.callback()
def _before_any_command(
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_print_version, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    pass


for _name, _command in _COMMANDS.items():
    app.command(
        _name,
        help=_help_of(_command),
        context_settings=_PASS_ARGUMENTS_ON if _name == "psql" else None,
    )(_command)
app.command("launched", hidden=True)(launched.launched)
app.add_typer(extension.group, name="extension")
