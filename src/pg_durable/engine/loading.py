"""The rows of a claimed instance, as the graph to walk and what the walk begins from."""

from collections.abc import Mapping

from pg_durable.errors import InvalidWorkflow
from pg_durable.graph.nodes import TERMINAL, Graph, LoopRow, Row, make_node
from pg_durable.records import Claimed, Left
from pg_durable.store import Store

_STATUS, _LOOP = 6, 9  # where a claimed node's status and the state of a loop stand
_NOTHING = Left(None, None, None)


async def load(claimed: Claimed, store: Store) -> tuple[Graph, dict[str, Row]]:
    """The graph of an instance and its rows, with what nodes that ended and loops have left.

    Raises:
        PgDurableError: the graph cannot be.
    """
    left: Mapping[str, Left] = {}
    if any(row[_STATUS] in TERMINAL or row[_LOOP] for row in claimed.nodes):
        left = await store.left_by_nodes(claimed.id)
    nodes = []
    rows = {}
    for id_, kind, query, name, before, after, status, generation, until, loop in claimed.nodes:
        nodes.append(make_node(id_, kind, query, name, before, after))
        remains = left.get(id_, _NOTHING)
        if loop is not None and None in loop:
            raise InvalidWorkflow(f"LOOP node {id_}: which iteration is under way is not recorded.")
        state = None if loop is None else LoopRow(loop[0], loop[1], loop[2], remains.names)
        if until is not None:
            until = float(until)  # -Infinity comes as a text
        rows[id_] = Row(status, generation, remains.result, until, remains.details, state)
    return Graph.of(claimed.root, nodes), rows
