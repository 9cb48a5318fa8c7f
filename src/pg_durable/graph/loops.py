"""Loops: the state of one, what it carries from iteration to iteration, and breaks."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import orjson

from pg_durable.errors import InvalidWorkflow, LimitExceeded
from pg_durable.graph.json_text import dump, parse, quote
from pg_durable.graph.nodes import Graph, LoopRow, Node
from pg_durable.graph.outcomes import Broke, Done, Scope
from pg_durable.graph.substitution import fill_raw, fill_variables


@dataclass(slots=True)
class Loop:
    """A loop under way. Iterations are numbered through the whole life of an instance, so that
    no two of them share a generation of the nodes within."""

    scope: Scope  # its own; merged into that around it at its end
    first: int
    iteration: int
    body: Done | None = None  # what the body came to in this iteration

    @classmethod
    def enter(cls, around: Scope, generation: int, row: LoopRow | None, last: int) -> "Loop":
        """Begin a loop, or go on with one whose row says that it was entered in this generation.

        `last` is the last number used in this run, 0 for none.
        """
        scope = around.branch()
        if row is not None and row.entered_in == generation:
            if row.names is not None:
                _store_carried(row.names, scope)
            return cls(scope, row.first, row.iteration)
        number = max(last, row.iteration if row is not None else 0) + 1
        return cls(scope, number, number)

    @property
    def numbers(self) -> dict[str, int]:
        """The iterations since it was entered, for the loop's row."""
        return {"first": self.first, "iteration": self.iteration}

    def refuse_more_than(self, limit: int) -> None:
        """Raise LimitExceeded after so many iterations since it was entered; 0: never."""
        if 0 < limit <= self.iteration - self.first + 1:
            raise LimitExceeded(
                f"Loop exceeded maximum iteration count of {limit}. "
                "Use df.break() to exit the loop or restructure the workflow."
            )

    def names(self, limit: int) -> str | None:
        """What is carried into the next iteration, for the loop's row.

        Raises:
            LimitExceeded: it has more than `limit` characters.
        """
        if not self.scope.stored:
            return None
        results = {name: self.scope.names[name] for name in sorted(self.scope.stored)}
        if (size := sum(map(len, results.values()))) > limit:
            raise LimitExceeded(
                f"The named results that the loop carries have {size} characters; "
                f"the limit is {limit}.",
                hint="Keep large results in a table, or raise max_result_bytes.",
            )
        columns = {n: c for n, c in self.scope.columns.items() if n in self.scope.stored}
        return orjson.dumps({"results": results, "columns": columns}).decode()


def _store_carried(names: str, scope: Scope) -> None:
    try:
        saved = orjson.loads(names)
        for name, result in saved["results"].items():
            scope.store(name, result, saved["columns"].get(name, ()))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise InvalidWorkflow(f"What the loop carries cannot be read: {error!r}") from error


class Pace(Protocol):
    """When a loop's next iteration may begin; the walk itself looks at no clock."""

    def begun(self, loop: Node) -> None:
        """An iteration begins now."""

    def next_at(self, loop: Node) -> float | None:
        """When the next may begin, in seconds since 1970; None: at once."""


class Unpaced:
    """Iterations that follow each other at once."""

    def begun(self, loop: Node) -> None:
        """See `Pace`."""

    def next_at(self, loop: Node) -> float | None:
        """See `Pace`."""
        return None


def needs_pace(graph: Graph, loop: Node) -> bool:
    """Whether nothing slows the loop down: it has neither a condition nor a wait within."""
    return loop.condition is None and not any(
        wait is not None and wait.takes_time
        for wait in (graph.nodes[inner].wait for inner in graph.subtree(loop.id))
    )


def broken_by(node: Node, scope: Scope, variables: Mapping[str, str], limit: int) -> Broke:
    """The outcome of a BREAK: its value, with `{variables}` and then `$names` filled in.

    What then is JSON is that JSON; any other text becomes a JSON string.

    Raises:
        ReferenceFailed: a name cannot be filled in.
        LimitExceeded: the value has more than `limit` characters.
        InvalidWorkflow: the node's configuration is unreadable.
    """
    try:
        value = orjson.loads(node.query or "")["break_value"]
    except (ValueError, TypeError, KeyError):
        value = 0
    if not isinstance(value, str | None):
        raise InvalidWorkflow(f"BREAK node {node.id}: it has no break_value.")
    if value is None:
        return Broke("null")
    text = fill_raw(fill_variables(value, variables), scope.names, limit)
    try:
        result = dump(parse(text))
    except ValueError:
        result = quote(text)
    if len(result) > limit:
        raise LimitExceeded(
            f"The value of the break has {len(result)} characters; the limit is {limit}.",
            hint="Keep large values in a table, or raise max_result_bytes.",
        )
    return Broke(result)
