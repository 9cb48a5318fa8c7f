"""show: everything about one instance."""

from typing import TYPE_CHECKING, Any

from pg_durable.cli.instances import as_document
from pg_durable.cli.options import AsJson, Dsn, InstanceId
from pg_durable.cli.output import (
    Column,
    clean,
    console,
    in_utc,
    json_of,
    print_json,
    print_table,
    show_duration,
    show_time,
    styled,
    tree,
)
from pg_durable.cli.target import with_client

if TYPE_CHECKING:
    from pg_durable.client import Client, Instance, Node

_STEPS = ("SQL", "HTTP", "HTTP_MULTIPART", "SIGNAL")  # the nodes whose result says something
_WORRYING = 5.0  # seconds; a living worker takes a new instance up at once


def show(instance: InstanceId, as_json: AsJson = False, dsn: Dsn = None) -> None:
    """Show an instance: its tree, its results, and what went wrong."""

    async def work(client: "Client") -> "tuple[Instance, list[Node], str]":
        return (
            await client.instance(instance),
            await client.nodes(instance),
            await client.explain(instance),
        )

    found, nodes, explained = with_client(dsn, work)
    if as_json:
        document = as_document(found)
        document["nodes"] = [_node_document(node) for node in nodes]
        document["failed_nodes"] = [node.id for node in culprits(found, nodes)]
        print_json(document)
        return
    _print_header(found)
    console().print()
    console().print(tree(without_header(explained, found)), soft_wrap=True)
    for node in culprits(found, nodes):
        _print_failure(node)
    _print_results(nodes)


def culprits(instance: "Instance", nodes: "list[Node]") -> "list[Node]":
    """The nodes an instance failed at: failed ones with no failed node below them.

    Those whose text is in the instance's own go before others that failed on the side, such
    as the loser of a race.
    """
    if instance.status != "failed":
        return []
    failed = {node.id for node in nodes if node.status == "failed"}
    lowest = [node for node in nodes if node.id in failed and failed.isdisjoint(node.children)]
    return [n for n in lowest if n.error and n.error in (instance.error or "")] or lowest


def without_header(explained: str, instance: "Instance") -> str:
    """The tree of df.explain without the lines above it, which say what `show` says better."""
    name = "" if instance.label is None else f" ({instance.label})"
    rest = explained.removeprefix(f"Instance: {instance.id}{name}")
    return rest.partition("\n\n")[2] or explained


def _print_header(instance: "Instance") -> None:
    took = show_duration(instance.duration)
    ended = None if instance.ended_at is None else show_time(instance.ended_at)
    lines = [
        ("Instance", instance.id),
        ("Label", instance.label),
        ("Status", instance.status),
        ("Role", instance.role),
        ("Database", instance.database),
        ("Created", show_time(instance.created_at)),
        ("Ended", ended),
        ("Took" if instance.ended else "Age", took),
        ("Iteration", str(instance.executions) if instance.executions > 1 else None),
        ("Error" if instance.status == "failed" else "Reason", instance.error),
    ]
    out = console()
    for title, value in lines:
        if value is not None:
            text = styled(value) if title == "Status" else clean(value)
            out.print(f"{title:<10}", text, sep="", soft_wrap=True)
    if instance.status == "pending" and instance.duration.total_seconds() > _WORRYING:
        out.print("No worker has taken it up yet. Does one run? pg-durable worker", soft_wrap=True)


def _print_failure(node: "Node") -> None:
    what = f"{node.type} {node.query or ''}".strip()
    out = console()
    out.print()
    out.print(f"Failed at node {node.id}", style="bold red")
    lines = [("Step", what), ("Error", node.error)]
    lines += [
        (title, str(node.details[key]))
        for title, key in (
            ("SQLSTATE", "sqlstate"),
            ("Detail", "detail"),
            ("Hint", "hint"),
            ("Position", "position"),
            ("Context", "context"),
        )
        if key in node.details
    ]
    for title, value in lines:
        out.print(f"  {title:<8}  {clean(value or '')}", soft_wrap=True)


def _print_results(nodes: "list[Node]") -> None:
    shown = [
        node
        for node in nodes
        if node.status == "completed" and node.result is not None and node.type in _STEPS
    ]
    if not shown:
        return
    print(flush=True)
    columns = [
        Column("NODE"),
        Column("NAME"),
        Column("STEP", shrinks=True),
        Column("RESULT", shrinks=True),
    ]
    rows = [[n.id, n.name or "", f"{n.type} {n.query or ''}", n.result or ""] for n in shown]
    if not print_table(columns, rows):
        console().print("Whole results: pg-durable show --json", style="dim")


def _node_document(node: "Node") -> dict[str, Any]:
    return {
        "id": node.id,
        "type": node.type,
        "name": node.name,
        "query": node.query,
        "children": node.children,
        "status": node.status,
        "result": json_of(node.result),
        "details": node.details,
        "updated_at": in_utc(node.updated_at),
    }
