"""Graphs as Python values: what the generator makes, the evaluator reads, and `df.start` gets.

Every SQL leaf has a number of its own and appends one row `(instance, leaf)` to the table
`effects` each time it runs, unless it fails: so whatever is lost or doubled shows.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Literal

EFFECTS = """
create table effects (
  seq      bigint generated always as identity,
  instance text not null,
  leaf     int  not null,
  value    text
);
create index on effects (instance, leaf);
"""

STRINGS = {
    "'a'": "a",
    "'it''s'": "it's",
    "''": "",
    r"'back\slash'": r"back\slash",
    "'naïve ✓'": "naïve ✓",
    "chr(36) || 'x'": "$x",  # a value that looks like a reference is not scanned again
    "chr(123) || 'v1}'": "{v1}",  # nor like a variable
}
"""SQL expressions of constant strings, and their values."""

VARIABLES = {"v1": "7", "v2": "two words", "v3": "$x?", "v4": "{v1}"}
"""What `df.setvar` sets before the start."""


class Form(StrEnum):
    """What an SQL leaf does besides its effect."""

    VALUE = "value"  # returns its expression's value as text, and its number
    LEAF = "leaf"  # the same, the number first
    ROWS = "rows"  # returns constant rows (n, s)
    EMPTY = "empty"  # returns columns n and s, but no row
    AFFECTED = "affected"  # returns nothing, as an INSERT does
    COUNT = "count"  # returns true, but false at every modulus-th time that it runs
    COPY = "copy"  # returns all rows of a name
    PICK = "pick"  # returns column n of the rows of a name
    FAIL = "fail"  # divides by zero
    SEND = "send"  # sends its own instance a signal


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node of a graph; `name` is what `df.as` gave it."""

    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sql(Node):
    """A statement. `text` is an expression, the name to copy, or the signal to send."""

    number: int
    form: Form
    text: str = ""
    rows: tuple[tuple[int | None, str | None], ...] = ()  # strings by their SQL, of STRINGS
    modulus: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Then(Node):
    left: Node
    right: Node


@dataclass(frozen=True, slots=True, kw_only=True)
class If(Node):
    condition: Node
    left: Node
    right: Node


@dataclass(frozen=True, slots=True, kw_only=True)
class IfRows(Node):
    rows_of: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Join(Node):
    branches: tuple[Node, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Race(Node):
    left: Node
    right: Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop(Node):
    body: Node
    condition: Node | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Break(Node):
    value: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sleep(Node):
    seconds: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule(Node):
    """A wait for a tick that is years away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal(Node):
    """A wait for a signal that is sent with the start, by a step of the graph, or never."""

    signal: str
    sent: Literal["start", "step", "never"]
    timeout: int | None = None


def children(node: Node) -> dict[str, Node]:
    """The children of a node, by the step of the path to them, as in `root.left`."""
    match node:
        case Then(left=left, right=right) | Race(left=left, right=right):
            return {"left": left, "right": right}
        case If(condition=condition, left=left, right=right):
            return {"left": left, "right": right, "condition_node": condition}
        case IfRows(left=left, right=right):
            return {"left": left, "right": right}
        case Join(branches=(left, right, *extra)):
            extras = {f"extra_nodes[{i}]": branch for i, branch in enumerate(extra)}
            return {"left": left, "right": right} | extras
        case Loop(body=body, condition=condition):
            return {"left": body} | ({} if condition is None else {"condition_node": condition})
    return {}


def with_child(node: Node, step: str, child: Node) -> Node:
    """A copy of the node in which the child at this step is another."""
    match node:
        case Join(branches=branches):
            steps = list(children(node))
            changed = (child if s == step else b for s, b in zip(steps, branches, strict=True))
            return replace(node, branches=tuple(changed))
        case Loop() if step == "left":
            return replace(node, body=child)
        case If() | Loop() if step == "condition_node":
            return replace(node, condition=child)
        case Then() | Race() | If() | IfRows():
            return replace(node, **{step: child})  # type: ignore[arg-type]
    raise ValueError(f"{node} has no child {step}")


def walk(node: Node, path: str = "root") -> Iterator[tuple[str, Node]]:
    """Every node with its path, parents before children."""
    yield path, node
    for step, child in children(node).items():
        yield from walk(child, f"{path}.{step}")


def envelope(node: Node) -> dict[str, Any]:
    """The envelope, as the builders of the df schema would write it."""
    fields: dict[str, Any] = {"node_type": _type(node)}
    for step, child in children(node).items():
        if step.startswith("extra_nodes"):
            fields.setdefault("extra_nodes", []).append(envelope(child))
        else:
            fields[{"left": "left_node", "right": "right_node"}.get(step, step)] = envelope(child)
    query = _query(node)
    if query is not None:
        fields["query"] = query
    if node.name is not None:
        fields["result_name"] = node.name
    return fields


def _type(node: Node) -> str:
    match node:
        case IfRows():
            return "IF"
        case Schedule():
            return "WAIT_SCHEDULE"
    return type(node).__name__.upper()


def _query(node: Node) -> str | None:
    match node:
        case Sql():
            return statement(node)
        case IfRows(rows_of=name):
            return json.dumps({"condition_type": "result_has_rows", "result_name": name})
        case Break(value=value):
            return json.dumps({"break_value": value})
        case Sleep(seconds=seconds):
            return seconds
        case Schedule():
            return json.dumps({"cron_expr": "0 0 29 2 *"})
        case Signal(signal=signal, timeout=timeout):
            return json.dumps({"signal_name": signal, "timeout_seconds": timeout})
    return None


def statement(leaf: Sql) -> str:
    """The SQL of a leaf."""
    instance, number = "'{sys_instance_id}'", leaf.number
    insert = f"insert into effects (instance, leaf, value) values ({instance}, {number}"
    done = f"with done as ({insert}, null))"
    match leaf.form:
        case Form.VALUE:
            return f"{insert}, ({leaf.text})::text) returning value, leaf"
        case Form.LEAF:
            return f"{insert}, ({leaf.text})::text) returning leaf, value"
        case Form.AFFECTED:
            return f"{insert}, ({leaf.text})::text)"
        case Form.FAIL:
            return f"{insert}, (1/0)::text)"
        case Form.ROWS:
            rows = ", ".join(
                f"({'null::int' if n is None else n}, {s or 'null::text'})" for n, s in leaf.rows
            )
            return f"{done} select * from (values {rows}) as r (n, s)"
        case Form.EMPTY:
            return f"{done} select 1 as n, 'a' as s where false"
        case Form.COUNT:
            return (
                f"{done} select count(*) % {leaf.modulus} < {leaf.modulus - 1} as go"
                f" from effects where instance = {instance} and leaf = {number}"
            )
        case Form.COPY:
            return f"{done} select * from ${leaf.text}.*"
        case Form.PICK:
            return f"{done} select n from ${leaf.text}.*"
        case Form.SEND:
            return f"{done} select df.signal({instance}, '{leaf.text}', '\"hello\"') as sent"
