"""The walk over a graph: which leaves to run next, and what their outcomes settle.

A walk is a pure function of the graph and its rows. A finished leaf answers from its row,
so resuming after a crash is walking again from the root. The engine asks `begin()` for the
first leaves, runs them, and tells `settle()` each outcome; both return what to record and
which leaves come next. Nothing here waits, connects or looks at a clock.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from pg_durable.errors import PgDurableError
from pg_durable.graph.json_text import parse
from pg_durable.graph.nodes import LEAVES, Graph, Node, NodeType, Row
from pg_durable.graph.outcomes import Change, Done, Failed, Leaf, Outcome, Progress, Scope, Stopped
from pg_durable.graph.truthiness import is_true


@dataclass(slots=True)
class _Join:
    outcomes: list[Outcome | None]
    scopes: list[Scope]


class Walk:
    """The state of one run of a graph, in memory."""

    def __init__(self, graph: Graph, rows: Mapping[str, Row]) -> None:
        self.graph = graph
        self._rows = rows
        self._settled: set[str] = {id_ for id_, row in rows.items() if row.terminal}
        self._scopes: dict[str, Scope] = {}
        self._joins: dict[str, _Join] = {}
        self._races: dict[str, dict[str, Scope]] = {}  # by race: the scopes of its branches
        self._stopped: set[str] = set()

    def begin(self) -> Progress:
        """Enter the root, passing over everything that is finished already."""
        progress = Progress()
        self._run([(self.graph.nodes[self.graph.root], Scope())], progress)
        return progress

    def settle(self, leaf: Leaf, outcome: Outcome) -> Progress:
        """Take a leaf's outcome, and follow it up the tree and down again."""
        progress = Progress()
        if not self.lost(leaf):
            self._run([(leaf.node, outcome)], progress)
        return progress

    def lost(self, leaf: Leaf) -> bool:
        """Whether the leaf has lost a race: its outcome does not count any more."""
        return leaf.node.id in self._stopped

    def ancestors(self, node: str) -> list[str]:
        """The nodes around a node, innermost first."""
        found = []
        parent = self.graph.parents.get(node)
        while parent is not None:
            found.append(parent)
            parent = self.graph.parents.get(parent)
        return found

    def _run(self, agenda: list[tuple[Node, Scope | Outcome]], progress: Progress) -> None:
        # An explicit agenda in place of recursion: a graph may be long and deep.
        while agenda:
            node, what = agenda.pop()
            if isinstance(what, Scope):
                self._enter(node, what, agenda, progress)
            else:
                self._leave(node, what, agenda, progress)

    def _enter(
        self,
        node: Node,
        scope: Scope,
        agenda: list[tuple[Node, Scope | Outcome]],
        progress: Progress,
    ) -> None:
        if node.id in self._stopped:
            return
        self._scopes[node.id] = scope
        if node.type in LEAVES:
            row = self._rows[node.id]
            if row.terminal:
                agenda.append((node, _recorded(row)))
            else:
                progress.leaves.append(Leaf(node, scope, row.generation, row.remaining))
        elif node.type is NodeType.THEN:
            agenda.append((self._node(node.left), scope))
        elif node.type is NodeType.IF:
            if node.rows_of is not None:
                self._choose_by_rows(node, node.rows_of, scope, agenda)
            else:
                agenda.append((self._node(node.condition), scope))
        elif node.type is NodeType.JOIN:
            branches = [self._node(child) for child in node.children]
            scopes = [scope.branch() for _ in branches]
            self._joins[node.id] = _Join([None] * len(branches), scopes)
            agenda.extend(reversed(list(zip(branches, scopes, strict=True))))
        elif node.type is NodeType.RACE:
            self._enter_race(node, scope, agenda)

    def _enter_race(
        self, race: Node, scope: Scope, agenda: list[tuple[Node, Scope | Outcome]]
    ) -> None:
        branches = [self._node(race.left), self._node(race.right)]
        if self._rows[race.id].terminal:
            # Decided before: the winner was recorded with the race, the loser never will be.
            winner, loser = sorted(branches, key=lambda b: not self._rows[b.id].terminal)
            self._stopped.update(self.graph.subtree(loser.id))
            branches = [winner]
        scopes = self._races[race.id] = {branch.id: scope.branch() for branch in branches}
        agenda.extend((branch, scopes[branch.id]) for branch in reversed(branches))

    def _leave(
        self,
        node: Node,
        outcome: Outcome,
        agenda: list[tuple[Node, Scope | Outcome]],
        progress: Progress,
    ) -> None:
        if node.id in self._stopped:
            return  # the other branch won while this one was on the agenda
        scope = self._scopes.pop(node.id)
        if node.id not in self._settled:
            self._settled.add(node.id)
            progress.changes.append(Change(node.id, self._rows[node.id].generation, outcome))
        if node.name is not None and isinstance(outcome, Done):
            scope.store(node.name, outcome.result)

        parent_id = self.graph.parents.get(node.id)
        if parent_id is None:
            progress.outcome = outcome
            return
        parent = self.graph.nodes[parent_id]
        if parent.type is NodeType.JOIN:
            self._leave_branch(parent, node, outcome, agenda, progress)
        elif parent.type is NodeType.RACE:
            self._leave_race(parent, node, outcome, agenda, progress)
        elif isinstance(outcome, Failed):
            agenda.append((parent, outcome))
        elif parent.type is NodeType.THEN and node.id == parent.left:
            agenda.append((self._node(parent.right), scope))
        elif parent.type is NodeType.IF and node.id == parent.condition:
            try:
                chosen = parent.left if is_true(outcome.result) else parent.right
            except PgDurableError as error:
                agenda.append((parent, Failed(error.message, {"sqlstate": error.sqlstate})))
            else:
                agenda.append((self._node(chosen), scope))
        else:
            agenda.append((parent, outcome))

    def _leave_branch(
        self,
        join: Node,
        branch: Node,
        outcome: Outcome,
        agenda: list[tuple[Node, Scope | Outcome]],
        progress: Progress,
    ) -> None:
        state = self._joins[join.id]
        state.outcomes[join.children.index(branch.id)] = outcome
        if None in state.outcomes:
            return
        if not progress.joined:
            progress.joined = True
            progress.own = len(progress.changes)
        del self._joins[join.id]
        results = []
        for number, (result, scope) in enumerate(
            zip(state.outcomes, state.scopes, strict=True), start=1
        ):
            if isinstance(result, Failed):
                text = f"JOIN branch {number} failed: {result.message}"
                agenda.append((join, Failed(text, result.details)))
                return
            if result is not None:
                results.append(result.result)
                self._scopes[join.id].merge(scope)
        agenda.append((join, Done("[" + ",".join(results) + "]")))

    def _leave_race(
        self,
        race: Node,
        winner: Node,
        outcome: Outcome,
        agenda: list[tuple[Node, Scope | Outcome]],
        progress: Progress,
    ) -> None:
        left_won = winner.id == race.left
        losers = self.graph.subtree(self._node(race.right if left_won else race.left).id)
        for node in losers:
            # Also one that is settled: its commit may still be under way, and must not land.
            if not self._rows[node].terminal and node not in self._stopped:
                progress.changes.append(Change(node, self._rows[node].generation, Stopped()))
        progress.losers.update(losers)
        self._stopped.update(losers)
        progress.leaves = [leaf for leaf in progress.leaves if not self.lost(leaf)]
        scope = self._races.pop(race.id)[winner.id]
        if isinstance(outcome, Failed):
            side = "left" if left_won else "right"
            text = f"RACE {side} branch failed: {outcome.message}"
            agenda.append((race, Failed(text, outcome.details)))
        else:
            self._scopes[race.id].merge(scope)
            agenda.append((race, outcome))

    def _choose_by_rows(
        self,
        node: Node,
        name: str,
        scope: Scope,
        agenda: list[tuple[Node, Scope | Outcome]],
    ) -> None:
        try:
            count = _row_count(name, scope.names.get(name))
        except PgDurableError as error:
            agenda.append((node, Failed(error.message)))
        else:
            agenda.append((self._node(node.left if count > 0 else node.right), scope))

    def _node(self, node_id: str | None) -> Node:
        assert node_id is not None  # the table's structure check
        return self.graph.nodes[node_id]


def _recorded(row: Row) -> Outcome:
    if row.status == "completed":
        return Done(row.result or "null")
    text = parse(row.result or '""')
    return Failed(text if isinstance(text, str) else str(row.result))


def _row_count(name: str, stored: str | None) -> int:
    if stored is None:
        raise PgDurableError(f"df.if_rows: result '{name}' not found")
    value = parse(stored)
    if not isinstance(value, dict) or "row_count" not in value:
        raise PgDurableError(f"df.if_rows: result '{name}' is not a SQL result (missing row_count)")
    return int(str(value["row_count"]))
