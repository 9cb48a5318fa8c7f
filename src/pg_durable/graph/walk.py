"""The walk over a graph: which leaves to run next, and what their outcomes settle.

A walk is a pure function of the graph, its rows and the instance's variables. A finished leaf
answers from its row, so resuming after a crash is walking again from the root. The engine asks
`begin()` for the first leaves, runs them, and tells `settle()` each outcome; both return what to
record and which leaves come next. Nothing here waits, connects or looks at a clock; how fast
loops may go is asked of a `Pace`.
"""

from collections.abc import Mapping

from pg_durable.errors import InvalidWorkflow, PgDurableError
from pg_durable.graph.branches import Branches
from pg_durable.graph.loops import Loop, Pace, Unpaced, broken_by
from pg_durable.graph.nodes import LEAVES, Graph, Node, NodeType, Row
from pg_durable.graph.outcomes import (
    Broke,
    Change,
    Done,
    Failed,
    Iterated,
    Leaf,
    Outcome,
    Progress,
    Scope,
    Stopped,
    recorded,
)
from pg_durable.graph.truthiness import has_rows, is_true

_OUTSIDE = "df.break() was called outside of a loop. df.break() may only be used inside df.loop()."
_LOST_LOOP = "Loop branch cancelled after losing RACE"

# By a name of their own: Python looks a member of an enumeration up ten times as slowly.
_THEN, _IF, _LOOP, _JOIN, _RACE = (
    NodeType.THEN, NodeType.IF, NodeType.LOOP, NodeType.JOIN, NodeType.RACE,
)  # fmt: skip

_Agenda = list[tuple[Node, Scope | Outcome]]


class Walk:
    """The state of one run of a graph, in memory."""

    def __init__(
        self,
        graph: Graph,
        rows: Mapping[str, Row],
        variables: Mapping[str, str] | None = None,
        pace: Pace | None = None,
        max_iterations: int = 0,
        max_result: int = 64 * 1024 * 1024,
    ) -> None:
        self.graph = graph
        self._rows = rows
        self._variables = variables or {}
        self._pace: Pace = pace or Unpaced()
        self._max_iterations = max_iterations
        self._max_result = max_result
        self._open: dict[str, Leaf] = {}  # leaves that are being run or waited for
        self._scopes: dict[str, Scope] = {}  # of the nodes that are entered
        self._branches: dict[str, Branches] = {}  # of the joins and races that are entered
        self._loops: dict[str, Loop] = {}  # the last state of each, also when it has ended

    def begin(self) -> Progress:
        """Enter the root, passing over everything that is finished already."""
        return self._run([(self._node(self.graph.root), Scope())])

    def settle(
        self, leaf: Leaf, outcome: Outcome, marks: Mapping[str, object] | None = None
    ) -> Progress:
        """Take a leaf's outcome, and follow it up the tree and down again.

        `marks` is what to keep beside its result. The end of a LOOP's wait is its outcome.
        """
        if self.lost(leaf):
            return Progress()
        del self._open[leaf.node.id]
        if leaf.node.type is _LOOP:
            return self._run([(self._node(leaf.node.left), self._iterate(leaf.node))])
        return self._run([(leaf.node, outcome)], marks)

    def lost(self, leaf: Leaf) -> bool:
        """Whether the leaf has lost a race: its outcome does not count any more."""
        return self._open.get(leaf.node.id) is not leaf

    def generation(self, node: str) -> int:
        """The iteration of the loop around a node; 1 where there is none."""
        loop = self.graph.loops.get(node)
        return 1 if loop is None else self._loops[loop].iteration

    def _run(self, agenda: _Agenda, marks: Mapping[str, object] | None = None) -> Progress:
        progress = Progress()
        iterated: set[str] = set()  # loops that have begun an iteration in here
        # An explicit agenda in place of recursion: a graph may be long and deep.
        while agenda:
            node, what = agenda.pop()
            if isinstance(what, Scope):
                self._enter(node, what, agenda, progress)
            else:
                self._leave(node, what, marks, agenda, progress, iterated)
                marks = None  # the first to be left is the leaf itself
        if progress.losers:
            progress.leaves = [leaf for leaf in progress.leaves if not self.lost(leaf)]
        return progress

    # --- entering

    def _enter(self, node: Node, scope: Scope, agenda: _Agenda, progress: Progress) -> None:
        self._scopes[node.id] = scope
        if node.type is _THEN:
            agenda.append((self._node(node.left), scope))
        elif node.type in LEAVES:
            self._enter_leaf(node, scope, agenda, progress)
        elif node.type is _IF:
            if node.rows_of is not None:
                agenda.append(self._choose_by_rows(node, node.rows_of, scope))
            else:
                agenda.append((self._node(node.condition), scope))
        elif node.type is _LOOP:
            self._enter_loop(node, scope, agenda, progress)
        else:
            self._enter_branches(node, scope, agenda)

    def _enter_leaf(self, node: Node, scope: Scope, agenda: _Agenda, progress: Progress) -> None:
        row, generation = self._rows[node.id], self.generation(node.id)
        if row.ended_in(generation):
            agenda.append((node, recorded(node, row)))
        elif node.type is NodeType.BREAK:
            try:
                agenda.append((node, broken_by(node, scope, self._variables, self._max_result)))
            except PgDurableError as error:
                agenda.append((node, Failed.of(error)))
        else:
            waits = row.status == "running" and row.generation == generation
            self._issue(Leaf(node, scope, generation, row.until if waits else None), progress)

    def _enter_loop(self, node: Node, scope: Scope, agenda: _Agenda, progress: Progress) -> None:
        row, generation = self._rows[node.id], self.generation(node.id)
        known = self._loops.get(node.id)
        loop = Loop.enter(scope, generation, row.loop, known.iteration if known else 0)
        self._loops[node.id] = loop
        if row.until is not None and row.loop is not None and loop.iteration == row.loop.iteration:
            self._issue(Leaf(node, loop.scope, generation, row.until), progress)
        else:
            agenda.append((self._node(node.left), self._iterate(node)))

    def _enter_branches(self, node: Node, scope: Scope, agenda: _Agenda) -> None:
        ids = node.children
        row, generation = self._rows[node.id], self.generation(node.id)
        if node.type is _RACE and row.ended_in(generation):
            # Decided before: the winner was recorded with the race, the loser never will be.
            ids = tuple(id_ for id_ in ids if self._won(id_, generation))
        branches = self._branches[node.id] = Branches.of(ids, scope)
        entries = [(self._node(id_), branches.scopes[id_]) for id_ in ids]
        agenda.extend(reversed(entries))

    def _won(self, node: str, generation: int) -> bool:
        row = self._rows[node]
        return row.ended_in(generation) and "lost_race" not in (row.details or {})

    def _issue(self, leaf: Leaf, progress: Progress) -> None:
        self._open[leaf.node.id] = leaf
        progress.leaves.append(leaf)

    # --- leaving

    def _leave(
        self,
        node: Node,
        outcome: Outcome,
        marks: Mapping[str, object] | None,
        agenda: _Agenda,
        progress: Progress,
        iterated: set[str],
    ) -> None:
        scope = self._scopes.pop(node.id)
        parent_id = self.graph.parents.get(node.id)
        if node.type is _LOOP:
            loop = self._loops[node.id]
            marks = loop.numbers
            if isinstance(outcome, Done):
                scope.merge(loop.scope)
        generation = self.generation(node.id)
        if not self._rows[node.id].ended_in(generation):
            progress.changes.append(Change(node.id, generation, outcome, marks))
        if node.name is not None and isinstance(outcome, Done):
            scope.store(node.name, outcome.result, outcome.columns)
        if isinstance(outcome, Failed):
            outcome = outcome.passed_on(node.id)

        if parent_id is None:
            progress.outcome = outcome
            if isinstance(outcome, Broke):
                progress.outcome = Failed.of(InvalidWorkflow(_OUTSIDE))
            return
        parent = self._node(parent_id)
        if parent.type is _THEN and isinstance(outcome, Done):  # most are
            following = parent.right if node.id == parent.left else None
            agenda.append(
                (parent, outcome) if following is None else (self._node(following), scope)
            )
        elif parent.type is _JOIN:
            self._leave_join(parent, node, outcome, agenda, progress)
        elif parent.type is _RACE:
            self._leave_race(parent, node, outcome, agenda, progress)
        elif isinstance(outcome, Failed) and node.type is _LOOP:
            text = f"Loop sub-orchestration failed: {outcome.message}"
            agenda.append((parent, Failed(text, outcome.details)))
        elif parent.type is _LOOP:
            self._leave_within_loop(parent, node, outcome, agenda, progress, iterated)
        elif not isinstance(outcome, Done):
            agenda.append((parent, outcome))
        elif parent.type is _IF and node.id == parent.condition:
            agenda.append(self._choose(parent, outcome, scope))
        else:
            agenda.append((parent, outcome))

    def _choose(self, node: Node, condition: Done, scope: Scope) -> tuple[Node, Scope | Outcome]:
        try:
            chosen = node.left if is_true(condition.result) else node.right
        except PgDurableError as error:
            return node, Failed.of(error)
        return self._node(chosen), scope

    def _choose_by_rows(self, node: Node, name: str, scope: Scope) -> tuple[Node, Scope | Outcome]:
        try:
            chosen = node.left if has_rows(name, scope.names.get(name)) else node.right
        except PgDurableError as error:
            return node, Failed.of(error)
        return self._node(chosen), scope

    def _leave_join(
        self, join: Node, branch: Node, outcome: Outcome, agenda: _Agenda, progress: Progress
    ) -> None:
        branches = self._branches[join.id]
        branches.end(branch.id, outcome, self._max_result)
        if len(branches.outcomes) < len(branches.scopes):
            return
        if not progress.joined:
            progress.joined = True
            progress.own = len(progress.changes)
        del self._branches[join.id]
        agenda.append((join, branches.joined(self._scopes[join.id])))

    def _leave_race(
        self, race: Node, winner: Node, outcome: Outcome, agenda: _Agenda, progress: Progress
    ) -> None:
        side, other = ("left", race.right) if winner.id == race.left else ("right", race.left)
        branches = self._branches.pop(race.id)
        if other in branches.scopes:
            self._stop(self._node(other), progress)
            agenda[:] = [item for item in agenda if item[0].id not in progress.losers]
        agenda.append((race, branches.raced(winner.id, side, outcome, self._scopes[race.id])))

    def _stop(self, loser: Node, progress: Progress) -> None:
        """Take off a race's loser whatever it was doing, and say so in its rows."""
        losers = self.graph.subtree(loser.id)
        for id_ in losers:
            loop = self.graph.loops.get(id_)
            if loop is not None and loop not in self._loops:
                continue  # never entered, so nothing can be under way
            generation = self.generation(id_)
            # Also one that is settled: its commit may still be under way, and must not land.
            if not self._rows[id_].ended_in(generation):
                marks = self._loops[id_].numbers if id_ in self._loops else None
                progress.changes.append(Change(id_, generation, Stopped(), marks))
            self._open.pop(id_, None)
            self._scopes.pop(id_, None)
            self._branches.pop(id_, None)
        if loser.type is _LOOP:
            change = progress.changes.pop()
            failed = Failed(_LOST_LOOP, {"lost_race": True})
            progress.changes.append(change._replace(outcome=failed))
        progress.losers.update(losers)

    # --- loops

    def _leave_within_loop(
        self,
        node: Node,
        child: Node,
        outcome: Outcome,
        agenda: _Agenda,
        progress: Progress,
        iterated: set[str],
    ) -> None:
        loop = self._loops[node.id]
        if isinstance(outcome, Failed):
            agenda.append((node, outcome))
            return
        if isinstance(outcome, Broke):
            agenda.append((node, Done(outcome.result)))
            return
        if child.id == node.left:
            loop.body = outcome
            if node.condition is not None:
                agenda.append((self._node(node.condition), loop.scope))
                return
        try:
            if child.id == node.condition and not is_true(outcome.result):
                agenda.append((node, loop.body or outcome))
                return
            loop.refuse_more_than(self._max_iterations)
            names = loop.names(self._max_result)
        except PgDurableError as error:
            agenda.append((node, Failed.of(error)))
            return

        loop.iteration += 1
        until = self._pace.next_at(node)
        if until is None and node.id in iterated:
            until = 0.0  # a round without a leaf: nothing else would ever let go
        iterated.add(node.id)
        root = node.id == self.graph.root
        state = Iterated(loop.first, loop.iteration, names, until, root)
        generation = self.generation(node.id)
        progress.changes.append(Change(node.id, generation, state))
        if until is None:
            agenda.append((self._node(node.left), self._iterate(node)))
        else:
            self._issue(Leaf(node, loop.scope, generation, until), progress)

    def _iterate(self, node: Node) -> Scope:
        self._pace.begun(node)
        loop = self._loops[node.id]
        loop.body = None
        return loop.scope

    def _node(self, node_id: str | None) -> Node:
        assert node_id is not None  # the table's structure check
        return self.graph.nodes[node_id]
