"""show: everything about one instance."""

import re
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
from pg_durable.cli.statement import marked, place, shortened
from pg_durable.cli.target import with_client

if TYPE_CHECKING:
    from pg_durable.client import Client, Instance, Node

_STEPS = ("SQL", "HTTP", "HTTP_MULTIPART", "SIGNAL")  # the nodes whose result says something
_WORRYING = 5.0  # seconds; a living worker takes a new instance up at once
_LOOP = re.compile(r"LOOP \((?:infinite|while)\)(?: \|=> '\w+')?(?= [✓✗⏳○⊘]$)", re.MULTILINE)


def show(instance: InstanceId, as_json: AsJson = False, dsn: Dsn = None) -> None:
    """Show an instance: its tree, its results, and what went wrong.

    Of one that has not ended it says what it waits for, and how often its loops have gone round;
    of one that failed, which step did, with what PostgreSQL said and the statement as it was run.
    """

    async def work(client: "Client") -> "tuple[Instance, list[Node], str, str | None]":
        return (
            await client.instance(instance),
            await client.nodes(instance),
            await client.explain(instance),
            await client.waits_for(instance),
        )

    found, nodes, explained, waits_for = with_client(dsn, work)
    if as_json:
        document = as_document(found)
        document["waits_for"] = waits_for
        document["nodes"] = [_node_document(node) for node in nodes]
        print_json(document)
        return
    _print_header(found, waits_for)
    console().print()
    drawn = with_iterations(without_header(explained, found), nodes)
    console().print(tree(drawn), soft_wrap=True)
    for node in nodes:
        if found.failure and node.id == found.failure.get("node"):
            _print_failure(node)
    _print_results(nodes)


def with_iterations(drawn: str, nodes: "list[Node]") -> str:
    """The tree with how far each loop has come; its lines are in the order of the nodes."""
    loops = [node for node in nodes if node.type == "LOOP"]
    lines = list(_LOOP.finditer(drawn))
    if len(lines) != len(loops):  # some line only looks like a loop
        return drawn
    for line, loop in reversed(list(zip(lines, loops, strict=True))):
        drawn = drawn[: line.end()] + _iterations(loop) + drawn[line.end() :]
    return drawn


def _iterations(loop: "Node") -> str:
    if loop.iteration is None:
        return ""
    if loop.status == "completed":
        return f", {loop.iteration} iteration{'' if loop.iteration == 1 else 's'}"
    return f", iteration {loop.iteration}"


def without_header(explained: str, instance: "Instance") -> str:
    """The tree of df.explain without the lines above it, which say what `show` says better."""
    name = "" if instance.label is None else f" ({instance.label})"
    rest = explained.removeprefix(f"Instance: {instance.id}{name}")
    return rest.partition("\n\n")[2] or explained


def _print_header(instance: "Instance", waits_for: str | None) -> None:
    took = show_duration(instance.duration)
    worker = re.fullmatch(r"worker (.*)", waits_for or "", re.DOTALL)
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
        ("Worker", worker[1] if worker else None),
        ("Waits for", None if worker else waits_for),
        ("Error" if instance.status == "failed" else "Reason", instance.error),
    ]
    out = console()
    for title, value in lines:
        if value is not None:
            text = styled(value) if title == "Status" else clean(value)
            out.print(f"{title:<11}", text, sep="", soft_wrap=True)
    if waits_for == "nothing: stuck":
        out.print("Nobody will move it on. What to do: pg-durable doctor", soft_wrap=True)
    elif instance.status == "pending" and instance.duration.total_seconds() > _WORRYING:
        out.print("No worker has taken it up yet. Does one run? pg-durable worker", soft_wrap=True)


def _print_failure(node: "Node") -> None:
    details = {key: str(value) for key, value in node.details.items()}
    step = f"{node.type} {node.query or ''}".strip()
    statement = details.get("statement", "")
    length = int(details.get("statement_length", len(statement)))
    position = int(details.get("position", 0))
    known = [
        ("Step", shortened(step, len(step))),
        ("Statement", shortened(statement, length) if statement != node.query else None),
        ("Error", node.error),
        ("SQLSTATE", details.get("sqlstate")),
        ("Detail", details.get("detail")),
        ("Hint", details.get("hint")),
        ("Position", place(statement, position) if position else None),
        ("", "\n".join(marked(statement, position))),
        ("Constraint", details.get("constraint")),
        ("Context", details.get("context")),
    ]
    out = console()
    out.print()
    out.print(f"Failed at node {node.id}", style="bold red")
    for title, value in known:
        for number, line in enumerate((value or "").splitlines()):
            out.print(f"  {'' if number else title:<10}  {clean(line)}", soft_wrap=True)


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
        "iteration": node.iteration,
        "result": json_of(node.result),
        "details": node.details,
        "updated_at": in_utc(node.updated_at),
    }
