"""Leaving nodes: what an outcome means to the node around, and to a race's other branch."""

from functools import partial

from pg_durable.errors import InvalidWorkflow, PgDurableError
from pg_durable.graph.entering import choose
from pg_durable.graph.loops import Loop
from pg_durable.graph.nodes import Node, NodeType
from pg_durable.graph.outcomes import (
    Broke,
    Change,
    Done,
    Failed,
    Iterated,
    Leaf,
    Outcome,
    Stopped,
)
from pg_durable.graph.state import Advance
from pg_durable.graph.truthiness import is_true

_OUTSIDE = "df.break() was called outside of a loop. df.break() may only be used inside df.loop()."
_LOST_LOOP = "Loop branch cancelled after losing RACE"

# By a name of their own: Python looks a member of an enumeration up ten times as slowly.
_THEN, _IF, _LOOP, _JOIN, _RACE = (
    NodeType.THEN, NodeType.IF, NodeType.LOOP, NodeType.JOIN, NodeType.RACE,
)  # fmt: skip


def leave(advance: Advance, node: Node, outcome: Outcome) -> None:
    """Leave a node with what it has come to: record that, and go on with the node around."""
    state, agenda = advance.state, advance.agenda
    scope = state.scopes.pop(node.id)
    marks, advance.marks = advance.marks, None
    if node.type is _LOOP:
        loop = state.loops[node.id]
        marks = loop.numbers
        if isinstance(outcome, Done):
            scope.merge(loop.scope)
    generation = state.generation(node.id)
    if not state.rows[node.id].ended_in(generation):
        advance.progress.changes.append(Change(node.id, generation, outcome, marks))
    if node.name is not None and isinstance(outcome, Done):
        scope.store(node.name, outcome.result, outcome.columns)
    if isinstance(outcome, Failed):
        outcome = outcome.passed_on(node.id)

    parent_id = state.graph.parents.get(node.id)
    if parent_id is None:
        advance.progress.outcome = outcome
        if isinstance(outcome, Broke):
            advance.progress.outcome = Failed.of(InvalidWorkflow(_OUTSIDE))
        return
    parent = state.node(parent_id)
    if parent.type is _THEN and isinstance(outcome, Done):  # most are
        following = parent.right if node.id == parent.left else None
        agenda.append((parent, outcome) if following is None else (state.node(following), scope))
    elif parent.type is _JOIN:
        _leave_join(advance, parent, node, outcome)
    elif parent.type is _RACE:
        _leave_race(advance, parent, node, outcome)
    elif isinstance(outcome, Failed) and node.type is _LOOP:
        text = f"Loop sub-orchestration failed: {outcome.message}"
        agenda.append((parent, Failed(text, outcome.details)))
    elif parent.type is _LOOP:
        _leave_within_loop(advance, parent, node, outcome)
    elif not isinstance(outcome, Done):
        agenda.append((parent, outcome))
    elif parent.type is _IF and node.id == parent.condition:
        choose(advance, parent, scope, partial(is_true, outcome.result))
    else:
        agenda.append((parent, outcome))


def _leave_join(advance: Advance, join: Node, branch: Node, outcome: Outcome) -> None:
    state, progress = advance.state, advance.progress
    branches = state.branches[join.id]
    branches.end(branch.id, outcome, state.max_result)
    if len(branches.outcomes) < len(branches.scopes):
        return
    if not progress.joined:
        progress.joined = True
        progress.own = len(progress.changes)
    del state.branches[join.id]
    advance.agenda.append((join, branches.joined(state.scopes[join.id])))


def _leave_race(advance: Advance, race: Node, winner: Node, outcome: Outcome) -> None:
    state = advance.state
    side, other = ("left", race.right) if winner.id == race.left else ("right", race.left)
    branches = state.branches.pop(race.id)
    if other in branches.scopes:
        _stop(advance, state.node(other))
        losers = advance.progress.losers
        advance.agenda[:] = [item for item in advance.agenda if item[0].id not in losers]
    advance.agenda.append((race, branches.raced(winner.id, side, outcome, state.scopes[race.id])))


def _stop(advance: Advance, loser: Node) -> None:
    """Take off a race's loser whatever it was doing, and say so in its rows."""
    state, changes = advance.state, advance.progress.changes
    losers = state.graph.subtree(loser.id)
    for id_ in losers:
        loop = state.graph.loops.get(id_)
        if loop is not None and loop not in state.loops:
            continue  # never entered, so nothing can be under way
        # Also one that is settled: its commit may still be under way, and must not land.
        if not state.ended(id_):
            marks = state.loops[id_].numbers if id_ in state.loops else None
            changes.append(Change(id_, state.generation(id_), Stopped(), marks))
        state.open.pop(id_, None)
        state.scopes.pop(id_, None)
        state.branches.pop(id_, None)
    if loser.type is _LOOP:
        failed = Failed(_LOST_LOOP, {"lost_race": True})
        changes.append(changes.pop()._replace(outcome=failed))
    advance.progress.losers.update(losers)


def _leave_within_loop(advance: Advance, node: Node, child: Node, outcome: Outcome) -> None:
    state, agenda = advance.state, advance.agenda
    loop = state.loops[node.id]
    if isinstance(outcome, Failed):
        agenda.append((node, outcome))
        return
    if isinstance(outcome, Broke):
        agenda.append((node, Done(outcome.result)))
        return
    if child.id == node.left:
        loop.body = outcome
        if node.condition is not None:
            agenda.append((state.node(node.condition), loop.scope))
            return
    try:
        if child.id == node.condition and not is_true(outcome.result):
            agenda.append((node, loop.body or outcome))
            return
        loop.refuse_more_than(state.max_iterations)
        names = loop.names(state.max_result)
    except PgDurableError as error:
        agenda.append((node, Failed.of(error)))
        return
    _begin_next(advance, node, loop, names)


def _begin_next(advance: Advance, node: Node, loop: Loop, names: str | None) -> None:
    """The loop's next iteration: now, or as a leaf that waits for it."""
    state = advance.state
    loop.iteration += 1
    until = state.pace.next_at(node)
    if until is None and node.id in advance.iterated:
        until = 0.0  # a round without a leaf: nothing else would ever let go
    advance.iterated.add(node.id)
    root = node.id == state.graph.root
    iterated = Iterated(loop.first, loop.iteration, names, until, root)
    generation = state.generation(node.id)
    advance.progress.changes.append(Change(node.id, generation, iterated))
    if until is None:
        advance.agenda.append((state.node(node.left), state.iterate(node)))
    else:
        advance.issue(Leaf(node, loop.scope, generation, until))
