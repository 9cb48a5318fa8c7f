"""start, wait, signal and cancel."""

from typing import TYPE_CHECKING, Annotated

import typer

from pg_durable.cli.options import AsJson, Dsn, File, InstanceId, workflow_text
from pg_durable.cli.output import json_of, note, one_line, print_json, show_duration
from pg_durable.cli.target import with_client
from pg_durable.errors import WaitTimeout

if TYPE_CHECKING:
    from pg_durable.client import Client, Instance

FAILED, TIME_IS_UP = 3, 4  # exit codes


def start(
    expression: Annotated[
        str | None,
        typer.Argument(metavar="EXPRESSION", show_default=False, help="The workflow; see above."),
    ] = None,
    file: File = None,
    label: Annotated[
        str | None,
        typer.Option(metavar="TEXT", show_default=False, help="A name to find it by; any text."),
    ] = None,
    database: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The database that the steps run in. [default: the one with the df schema]",
        ),
    ] = None,
    dsn: Dsn = None,
) -> None:
    """Start a workflow and print the id of its instance.

    EXPRESSION is what you would write inside df.start(…): an SQL expression in which each
    step is a string. It is evaluated in your own session, with your own rights. A single SQL
    statement may be given as it is.

      pg-durable start "'call first()' ~> df.sleep(5) ~> 'call second()'"
      pg-durable start "select now()"
    """
    text = workflow_text(expression, file, "EXPRESSION")
    print(with_client(dsn, lambda client: client.start(text, label=label, database=database)))


def wait(
    instance: InstanceId,
    timeout: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS", min=0, help="How long to wait at most. [default: for ever]"
        ),
    ] = None,
    as_json: AsJson = False,
    dsn: Dsn = None,
) -> None:
    """Wait until an instance has ended, and print its result.

    The result is JSON. Exits with 0 if the instance completed, 3 if it failed or was cancelled,
    4 if the time is up.
    """

    async def work(client: "Client") -> "tuple[Instance, str | None]":
        return await client.wait(instance, timeout), await client.result(instance)

    try:
        ended, result = with_client(dsn, work)
    except WaitTimeout as error:
        note(str(error))
        raise typer.Exit(TIME_IS_UP) from None

    if as_json:
        print_json(
            {
                "id": ended.id,
                "status": ended.status,
                "duration": ended.duration,
                "result": json_of(result),
                "error": ended.error,
            }
        )
    elif ended.status == "completed":
        print(result)
    if ended.status != "completed":
        took = show_duration(ended.duration)
        note(f"instance {ended.id} {ended.status} after {took}: {one_line(ended.error or '')}")
        raise typer.Exit(FAILED)


def signal(
    instance: InstanceId,
    name: Annotated[
        str, typer.Argument(metavar="NAME", show_default=False, help="The name waited for.")
    ],
    data: Annotated[
        str | None,
        typer.Argument(
            metavar="DATA",
            show_default=False,
            help="JSON; any other text is sent as a JSON string. [default: {}]",
        ),
    ] = None,
    dsn: Dsn = None,
) -> None:
    """Send a signal to an instance.

    Every step that waits for that name takes it. If none does yet, it is kept for the next one
    that will. To signal an instance that has ended changes nothing, and is no error.

      pg-durable signal 3fa9c1d0 approval '{"by": "alice"}'

    What begins with a hyphen goes after --, as in: signal 3fa9c1d0 offset -- -5
    """

    async def work(client: "Client") -> tuple[bool, str]:
        sent = await client.signal(instance, name, data)
        return sent, (await client.instance(instance)).status

    sent, status = with_client(dsn, work)
    if sent:
        print(f"Signal {one_line(name)} is sent to instance {instance}.")
    else:
        print(f"Instance {instance} was {status} already; nothing will take the signal.")


def cancel(
    instance: InstanceId,
    reason: Annotated[
        str, typer.Option(metavar="TEXT", help="Why; it is kept with the instance.")
    ] = "Cancelled by user",
    dsn: Dsn = None,
) -> None:
    """Cancel an instance.

    Its running statement is stopped and rolled back, and no further step begins; what completed
    steps did stays. To cancel an instance that has ended changes nothing, and is no error.
    """

    async def work(client: "Client") -> tuple[bool, str]:
        cancelled = await client.cancel(instance, reason)
        return cancelled, (await client.instance(instance)).status

    cancelled, status = with_client(dsn, work)
    if cancelled:
        print(f"Instance {instance} is cancelled.")
    else:
        print(f"Instance {instance} was {status} already; nothing is changed.")
