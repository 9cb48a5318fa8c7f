"""Options and arguments that several commands take."""

from pathlib import Path
from typing import Annotated

import typer

from pg_durable.errors import InvalidWorkflow
from pg_durable.settings import Settings

DSN_HELP = "The database, as libpq's URI or keywords. The main help says what counts without it."

Dsn = Annotated[str | None, typer.Option("--dsn", metavar="DSN", show_default=False, help=DSN_HELP)]
DsnArgument = Annotated[
    str | None, typer.Argument(metavar="DSN", show_default=False, help=DSN_HELP)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document, for scripts.")]
InstanceId = Annotated[
    str,
    typer.Argument(
        metavar="ID", show_default=False, help="The id that start printed; see pg-durable list."
    ),
]
File = Annotated[
    Path | None,
    typer.Option(
        "--file",
        "-f",
        metavar="FILE",
        show_default=False,
        help="Read the workflow from this file; - is the standard input.",
    ),
]
MaxUserConnections = Annotated[
    int | None,
    typer.Option(metavar="N", help="SQL steps that run at the same time. [default: 10]"),
]
Identity = Annotated[
    str | None,
    typer.Option(
        metavar="HOW",
        help="How steps get the rights of their role: login as it, or log in as the worker and"
        " set_role. [default: login]",
    ),
]
HttpPolicy = Annotated[
    str | None,
    typer.Option(
        metavar="RULES",
        show_default=False,
        help="Where HTTP steps may go, such as '*.example.com, 10.1.0.0/16', or public."
        " [default: as the database's setting says, else none]",
    ),
]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Log details, too.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Log warnings and errors only.")]


def one_dsn(argument: str | None, option: str | None) -> str | None:
    """The one that was given, where a command takes both."""
    if argument is not None and option is not None:
        raise typer.BadParameter("Give the database once: DSN or --dsn DSN.")
    return argument if option is None else option


def workflow_text(given: str | None, file: Path | None, what: str) -> str:
    """The workflow given, or the content of the file."""
    if (given is None) == (file is None):
        raise typer.BadParameter(f"Give either {what} or -f FILE.")
    if file is None:
        return given or ""
    try:
        if str(file) == "-":
            return typer.get_text_stream("stdin", encoding="utf-8").read()
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise typer.BadParameter(f"{file} cannot be read: {reason}.") from None


def settings_of(**flags: str | float | None) -> Settings:
    """The settings of the environment and the options."""
    from pg_durable.steps.http.policy import read_policy

    try:
        settings = Settings.load(None, **flags)
        read_policy(settings.http_policy)
    except InvalidWorkflow as error:
        raise typer.BadParameter(str(error)) from None
    return settings
