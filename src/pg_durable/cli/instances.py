"""list and explain."""

import enum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pg_durable.cli.options import AsJson, Dsn, File, workflow_text
from pg_durable.cli.output import (
    Column,
    console,
    in_utc,
    note,
    print_json,
    print_table,
    show_duration,
    show_time,
    tree,
)
from pg_durable.cli.target import with_client

if TYPE_CHECKING:
    from pg_durable.client import Client, Instance

_PAGE = 100  # instances asked for at a time


class Status(enum.StrEnum):
    """What an instance can be."""

    pending = enum.auto()
    running = enum.auto()
    completed = enum.auto()
    failed = enum.auto()
    cancelled = enum.auto()


def list_instances(
    status: Annotated[
        Status | None,
        typer.Option(
            metavar="STATUS",
            help="Only pending, running, completed, failed or cancelled ones.",
        ),
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(metavar="TEXT", show_default=False, help="Only those of this very label."),
    ] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="At most so many.")] = 20,
    show_all: Annotated[
        bool, typer.Option("--all", help="All of them, whatever --limit says.")
    ] = False,
    as_json: AsJson = False,
    dsn: Dsn = None,
) -> None:
    """List instances, the newest first.

    A role sees its own; a superuser sees all.
    """
    wanted = None if show_all else limit

    async def work(client: "Client") -> "tuple[list[Instance], bool]":
        found: list[Instance] = []
        cursor = None
        while True:
            left = _PAGE if wanted is None else min(_PAGE, wanted - len(found))
            page = await client.list_instances(status=status, label=label, limit=left, after=cursor)
            found += page.instances
            cursor = page.next_cursor
            if cursor is None or len(found) == wanted:
                return found, cursor is not None

    found, more = with_client(dsn, work)
    if as_json:
        print_json([as_document(instance) for instance in found])
    elif found:
        _print_instances(found)
    else:
        note("no instances" if status or label is not None else "no instances yet")
    if more:
        note(f"these are the newest {len(found)}; --all or a higher --limit shows more")


def explain(
    subject: Annotated[
        str | None,
        typer.Argument(
            metavar="ID|EXPRESSION",
            show_default=False,
            help="An instance's id, or a workflow as for pg-durable start.",
        ),
    ] = None,
    file: File = None,
    as_json: AsJson = False,
    dsn: Dsn = None,
) -> None:
    """Draw a workflow as a tree.

    It may be an instance, or a workflow that is not started. Explaining starts nothing.

      pg-durable explain 3fa9c1d0
      pg-durable explain "'select 1' ~> ('select 2' & 'select 3')"

    The nodes of an instance are ✓ completed, ✗ failed, ⏳ running, ○ pending or ⊘ skipped.
    """
    text = workflow_text(subject, file, "ID|EXPRESSION")
    drawn = with_client(dsn, lambda client: client.explain(text))
    if as_json:
        print_json({"input": text, "tree": drawn})
    else:
        console().print(tree(drawn), soft_wrap=True)


def as_document(instance: "Instance") -> dict[str, Any]:
    """An instance for JSON."""
    return {
        "id": instance.id,
        "label": instance.label,
        "status": instance.status,
        "role": instance.role,
        "database": instance.database,
        "created_at": in_utc(instance.created_at),
        "ended_at": in_utc(instance.ended_at),
        "duration": instance.duration,
        "executions": instance.executions,
        "error": instance.error,
        "failure": instance.failure,
    }


def _print_instances(instances: "list[Instance]") -> None:
    columns = [
        Column("ID"),
        Column("STATUS"),
        Column("CREATED"),
        Column("TOOK"),
        Column("ROLE"),
        Column("LABEL", shrinks=True),
        Column("ERROR", shrinks=True),
    ]
    rows = [
        [
            i.id,
            i.status,
            show_time(i.created_at),
            show_duration(i.duration),
            i.role,
            i.label or "",
            i.error or "",
        ]
        for i in instances
    ]
    print_table(columns, rows)
