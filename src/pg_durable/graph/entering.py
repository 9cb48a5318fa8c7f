"""Entering nodes: down the tree to the leaves that are to be run, or have ended already."""

from collections.abc import Callable
from functools import partial

from pg_durable.errors import PgDurableError
from pg_durable.graph.branches import Branches
from pg_durable.graph.loops import Loop, broken_by
from pg_durable.graph.nodes import LEAVES, Node, NodeType
from pg_durable.graph.outcomes import Failed, Leaf, Outcome, Scope, recorded
from pg_durable.graph.state import Advance
from pg_durable.graph.truthiness import has_rows

# By a name of their own: Python looks a member of an enumeration up ten times as slowly.
_THEN, _IF, _LOOP, _RACE = NodeType.THEN, NodeType.IF, NodeType.LOOP, NodeType.RACE


def enter(advance: Advance, node: Node, scope: Scope) -> None:
    """Enter a node, which can see the names of the scope."""
    state, agenda = advance.state, advance.agenda
    state.scopes[node.id] = scope
    if node.type is _THEN:
        agenda.append((state.node(node.left), scope))
    elif node.type in LEAVES:
        _enter_leaf(advance, node, scope)
    elif node.type is _IF:
        if node.rows_of is not None:
            stored = scope.names.get(node.rows_of)
            choose(advance, node, scope, partial(has_rows, node.rows_of, stored))
        else:
            agenda.append((state.node(node.condition), scope))
    elif node.type is _LOOP:
        _enter_loop(advance, node, scope)
    else:
        _enter_branches(advance, node, scope)


def choose(advance: Advance, node: Node, scope: Scope, holds: Callable[[], bool]) -> None:
    """Go on with the branch of an IF that its condition asks for, or fail it with what that
    raises."""
    try:
        chosen = node.left if holds() else node.right
    except PgDurableError as error:
        advance.agenda.append((node, Failed.of(error)))
    else:
        advance.agenda.append((advance.state.node(chosen), scope))


def _enter_leaf(advance: Advance, node: Node, scope: Scope) -> None:
    state = advance.state
    row, generation = state.rows[node.id], state.generation(node.id)
    if row.ended_in(generation):
        advance.agenda.append((node, recorded(node, row)))
    elif node.type is NodeType.BREAK:
        advance.agenda.append((node, _broken_by(advance, node, scope)))
    else:
        waits = row.status == "running" and row.generation == generation
        advance.issue(Leaf(node, scope, generation, row.until if waits else None))


def _broken_by(advance: Advance, node: Node, scope: Scope) -> Outcome:
    try:
        return broken_by(node, scope, advance.state.variables, advance.state.max_result)
    except PgDurableError as error:
        return Failed.of(error)


def _enter_loop(advance: Advance, node: Node, scope: Scope) -> None:
    state = advance.state
    row, generation = state.rows[node.id], state.generation(node.id)
    known = state.loops.get(node.id)
    loop = Loop.enter(scope, generation, row.loop, known.iteration if known else 0)
    state.loops[node.id] = loop
    if row.until is not None and row.loop is not None and loop.iteration == row.loop.iteration:
        advance.issue(Leaf(node, loop.scope, generation, row.until))
    else:
        advance.agenda.append((state.node(node.left), state.iterate(node)))


def _enter_branches(advance: Advance, node: Node, scope: Scope) -> None:
    state, ids = advance.state, node.children
    if node.type is _RACE and state.ended(node.id):
        # Decided before: the winner was recorded with the race, the loser never will be.
        ids = tuple(id_ for id_ in ids if _won(advance, id_))
    branches = state.branches[node.id] = Branches.of(ids, scope)
    entries = [(state.node(id_), branches.scopes[id_]) for id_ in ids]
    advance.agenda.extend(reversed(entries))


def _won(advance: Advance, branch: str) -> bool:
    return advance.state.ended(branch) and "lost_race" not in (
        advance.state.rows[branch].details or {}
    )
