"""Starting many graphs at once, and what became of them."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from support.database import TERMINAL, Database
from support.search.graphs import Case
from support.search.nodes import EFFECTS, VARIABLES, envelope

_AT_ONCE = 100  # starts in one transaction


@dataclass(slots=True, kw_only=True)
class Observed:
    """An instance as the tables show it. Nodes go by their paths, effects in their order."""

    instance: str
    status: str
    result: str | None
    output: str | None
    nodes: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    effects: list[int] = field(default_factory=list)


async def prepare(db: Database) -> None:
    """Create what the leaves write to, and set the variables."""
    await db.rows(EFFECTS)
    for name, value in VARIABLES.items():
        await db.rows("select df.setvar(%s, %s)", name, value)


async def start(db: Database, cases: Sequence[Case]) -> dict[str, Case]:
    """Start an instance for each case, with the signals that it needs; cases by instance."""
    started: dict[str, Case] = {}
    for first in range(0, len(cases), _AT_ONCE):
        batch = cases[first : first + _AT_ONCE]
        async with db.session.transaction():
            ids = await db.rows(
                "select df.start(c.envelope, c.label)"
                " from unnest(%s::text[], %s::text[]) as c (envelope, label)",
                [json.dumps(envelope(case.graph)) for case in batch],
                [case.label for case in batch],
            )
            fresh = {instance: case for (instance,), case in zip(ids, batch, strict=True)}
            signals = [
                (instance, name, str(number))
                for instance, case in fresh.items()
                for name, count in case.expected.signals.items()
                for number in range(1, count + 1)
            ]
            await db.rows(
                "select df.signal(s.instance, s.name, s.data)"
                " from unnest(%s::text[], %s::text[], %s::text[]) as s (instance, name, data)",
                *([signal[i] for signal in signals] for i in range(3)),
            )
        started |= fresh
    return started


async def unfinished(db: Database) -> int:
    """How many instances have not ended."""
    count = await db.scalar(
        "select count(*) from df.instances where status <> all (%s)", list(TERMINAL)
    )
    return int(count)


async def cancel_unfinished(db: Database) -> None:
    """Cancel whatever hangs."""
    await db.rows("select df.cancel(id) from df.instances where status <> all (%s)", list(TERMINAL))


async def observe(db: Database, instances: Sequence[str]) -> list[Observed]:
    """What became of these instances."""
    ids = list(instances)
    seen = {
        row[0]: (Observed(instance=row[0], status=row[1], result=row[2], output=row[3]), row[4])
        for row in await db.rows(
            "select id, status, df.result(id), output, root_node"
            " from df.instances where id = any (%s)",
            ids,
        )
    }
    rows: dict[str, dict[str, tuple[Any, ...]]] = defaultdict(dict)
    for instance, node, *row in await db.rows(
        "select instance_id, id, left_node, right_node, query, status, result::text, node_type"
        " from df.nodes where instance_id = any (%s)",
        ids,
    ):
        rows[instance][node] = tuple(row)
    for instance, leaf in await db.rows(
        "select instance, leaf from effects where instance = any (%s) order by seq", ids
    ):
        seen[instance][0].effects.append(leaf)

    for instance, (observed, root) in seen.items():
        for path, status, result in _tree(rows[instance], root, "root"):
            observed.nodes[path] = (status, result)
    return [seen[instance][0] for instance in ids]


def _tree(
    rows: Mapping[str, tuple[Any, ...]], node: str, path: str
) -> Iterator[tuple[str, str, str | None]]:
    left, right, query, status, result, node_type = rows[node]
    yield path, status, result
    config = json.loads(query) if query and node_type in ("IF", "LOOP", "JOIN") else {}
    steps = {"left": left, "right": right, "condition_node": config.get("condition_node")}
    steps |= {f"extra_nodes[{i}]": extra for i, extra in enumerate(config.get("extra_nodes", []))}
    for step, child in steps.items():
        if child is not None:
            yield from _tree(rows, child, f"{path}.{step}")
