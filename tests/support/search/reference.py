"""What a graph must do, told from the specification: plain recursion, one node at a time.

Branches that run at once are told one after the other, which is allowed because they share
nothing: names and effects of a branch are its own until the JOIN or RACE has ended.

A race must have a definite winner: the other branch holds a wait that never ends. What such a
loser does before that wait may or may not happen, so it is told as possible, not as certain.
"""

from collections import Counter

from pg_durable.errors import ReferenceFailed
from pg_durable.graph.json_text import Number, dump, parse, quote
from pg_durable.graph.substitution import fill_raw, fill_variables
from pg_durable.graph.truthiness import is_true
from support.search.leaves import LeafFailed, result_of
from support.search.nodes import (
    VARIABLES,
    Break,
    Form,
    If,
    IfRows,
    Join,
    Loop,
    Node,
    Race,
    Schedule,
    Signal,
    Sleep,
    Sql,
    Then,
    children,
)
from support.search.told import (
    Broke,
    Done,
    Expected,
    Failed,
    Never,
    Outcome,
    Parallel,
    Scope,
    Series,
    Unsuitable,
)

OUTSIDE = "df.break() was called outside of a loop. df.break() may only be used inside df.loop()."
LOST_LOOP = "Loop branch cancelled after losing RACE"
IN_LOOP = "Loop sub-orchestration failed: "

LONGEST_SLEEP = 60.0  # of those that count as ending
PATIENCE = 2.5  # seconds that all waits of a graph may take together


def expect(graph: Node, label: str, *, steps: int = 400, largest: int = 2000) -> Expected:
    """Tell what a graph does.

    Raises:
        Unsuitable: it enters more nodes than `steps`, waits for too long, has a result of more
            than `largest` characters, or a race without a definite winner.
    """
    reference = _Reference(label, steps, largest)
    told = reference.told
    match reference.run(graph, "root", Scope(), told.order):
        case Broke():
            told.outcome = Failed(OUTSIDE)
        case Never():
            raise Unsuitable("it never ends")
        case outcome:
            told.outcome = outcome
    if reference.taken - reference.sent:
        raise Unsuitable("it waits for a signal that nobody sends")
    return told


def is_endless(node: Node) -> bool:
    """Whether the node holds a wait that never ends, outside of losing branches."""
    match node:
        case Race(left=left, right=right):
            return is_endless(left) and is_endless(right)
        case Sleep(seconds=seconds):
            return float(seconds) > LONGEST_SLEEP
        case Signal(sent=sent, timeout=timeout):
            return sent == "never" and timeout is None
        case Schedule():
            return True
    return any(is_endless(child) for child in children(node).values())


class _Reference:
    def __init__(self, label: str, steps: int, largest: int) -> None:
        self.told = Expected()
        self._variables = VARIABLES | {"sys_label": label}
        self._left = steps
        self._largest = largest
        self._patience = PATIENCE
        self._runs: Counter[int] = Counter()
        self._losing = 0  # depth of losing branches
        self.sent: Counter[str] = Counter()  # signals, by steps of the graph
        self.taken: Counter[str] = Counter()  # of those

    def run(self, node: Node, path: str, scope: Scope, order: Series) -> Outcome:
        """Run a node: note how it ends, and keep its result under its name."""
        self._left -= 1
        if self._left < 0:
            raise Unsuitable("it runs too long")
        outcome = self._run(node, path, scope, order)
        if isinstance(outcome, Done):
            if len(outcome.text) > self._largest:
                raise Unsuitable("a result is too large")
            if node.name is not None and not isinstance(node, Break):
                scope.store(node.name, outcome)
        if not isinstance(outcome, Never):
            self._note(path, outcome)
        return outcome

    def _note(self, path: str, outcome: Outcome) -> None:
        if self._losing:
            self.told.possible.setdefault(path, set()).add(outcome)
        else:
            self.told.nodes[path] = outcome

    def _run(self, node: Node, path: str, scope: Scope, order: Series) -> Outcome:
        match node:
            case Sql():
                return self._sql(node, scope, order)
            case Then():
                left = self._child(node.left, f"{path}.left", scope, order)
                if not isinstance(left, Done):
                    return left
                return self._child(node.right, f"{path}.right", scope, order)
            case If():
                judged = self._child(node.condition, f"{path}.condition_node", scope, order)
                if not isinstance(judged, Done):
                    return judged
                return self._branch(node, is_true(judged.text), path, scope, order)
            case IfRows():
                return self._if_rows(node, path, scope, order)
            case Join():
                return self._join(node, path, scope, order)
            case Race():
                return self._race(node, path, scope, order)
            case Loop():
                return self._loop(node, path, scope, order)
            case Break():
                return self._break(node, scope)
            case Sleep(seconds=seconds) if not is_endless(node):
                self._wait(float(seconds))
                return Done(dump({"slept": True, "seconds": Number(seconds)}))
            case Signal() if not is_endless(node):
                return self._signal(node)
        return Never()

    def _wait(self, seconds: float) -> None:
        self._patience -= seconds
        if self._patience < 0:
            raise Unsuitable("it waits too long")

    def _child(self, node: Node, path: str, scope: Scope, order: Series) -> Outcome:
        """Run a child that is no branch: a loop's failure is told with a prefix."""
        outcome = self.run(node, path, scope, order)
        if isinstance(outcome, Failed) and isinstance(node, Loop):
            return Failed(IN_LOOP + outcome.error)
        return outcome

    def _sql(self, leaf: Sql, scope: Scope, order: Series) -> Outcome:
        before = self._runs[leaf.number]
        try:
            text, columns = result_of(leaf, before, self._variables, scope.texts(), scope.columns())
        except LeafFailed as failure:
            return Failed(str(failure))
        self._runs[leaf.number] += 1
        effects = self.told.possible_effects if self._losing else self.told.effects
        effects[leaf.number] += 1
        if leaf.form is Form.SEND:
            self.sent[leaf.text] += 1
        order.append((leaf.number, before))
        return Done(text, columns)

    def _branch(
        self, node: If | IfRows, answer: bool, path: str, scope: Scope, order: Series
    ) -> Outcome:
        if answer:
            return self._child(node.left, f"{path}.left", scope, order)
        return self._child(node.right, f"{path}.right", scope, order)

    def _if_rows(self, node: IfRows, path: str, scope: Scope, order: Series) -> Outcome:
        name = node.rows_of
        if name not in scope.visible:
            return Failed(f"df.if_rows: result '{name}' not found")
        match parse(scope.visible[name].text):
            case {"row_count": Number() as count}:
                return self._branch(node, int(count) > 0, path, scope, order)
        return Failed(f"df.if_rows: result '{name}' is not a SQL result (missing row_count)")

    def _join(self, node: Join, path: str, scope: Scope, order: Series) -> Outcome:
        ran: list[tuple[Outcome, Scope]] = []
        parallel = Parallel([])
        order.append(parallel)
        for step, branch in children(node).items():
            inner, series = scope.branch(), Series()
            parallel.series.append(series)
            ran.append((self.run(branch, f"{path}.{step}", inner, series), inner))
        if any(isinstance(outcome, Never) for outcome, _ in ran):
            return Never()

        results = []
        for number, (outcome, inner) in enumerate(ran, 1):
            if isinstance(outcome, Failed):
                return Failed(f"JOIN branch {number} failed: {outcome.error}")
            scope.merge(inner)
            if not isinstance(outcome, Done):
                return outcome
            results.append(outcome.text)
        return Done(f"[{','.join(results)}]")

    def _race(self, node: Race, path: str, scope: Scope, order: Series) -> Outcome:
        parallel = Parallel([])
        order.append(parallel)
        sides = {"left": node.left, "right": node.right}
        winner = None
        for side, branch in sides.items():
            inner, series = scope.branch(), Series()
            parallel.series.append(series)
            loses = is_endless(branch)
            self._losing += loses
            outcome = self.run(branch, f"{path}.{side}", inner, series)
            self._losing -= loses
            if isinstance(outcome, Never) is not loses or (winner and not loses):
                raise Unsuitable("a race has no definite winner")
            if loses:
                self._lose(branch, f"{path}.{side}")
            else:
                winner = (side, outcome, inner)
        if winner is None:
            return Never()

        side, outcome, inner = winner
        if isinstance(outcome, Failed):
            return Failed(f"RACE {side} branch failed: {outcome.error}")
        scope.merge(inner)
        return outcome

    def _lose(self, branch: Node, path: str) -> None:
        self.told.losers[path] += 1
        if isinstance(branch, Loop):
            self._note(path, Failed(LOST_LOOP))

    def _loop(self, node: Loop, path: str, scope: Scope, order: Series) -> Outcome:
        while True:
            result = self._child(node.body, f"{path}.left", scope, order)
            if isinstance(result, Broke):
                return Done(result.text)
            if not isinstance(result, Done):
                return result
            if node.condition is None:
                continue
            judged = self._child(node.condition, f"{path}.condition_node", scope, order)
            if isinstance(judged, Broke):
                return Done(judged.text)
            if not isinstance(judged, Done):
                return judged
            if not is_true(judged.text):
                return result

    def _break(self, node: Break, scope: Scope) -> Outcome:
        if node.value is None:
            return Broke("null")
        try:
            value = fill_raw(fill_variables(node.value, self._variables), scope.texts())
        except ReferenceFailed as error:
            return Failed(str(error))
        try:
            return Broke(dump(parse(value)))
        except ValueError:
            return Broke(quote(value))

    def _signal(self, node: Signal) -> Outcome:
        data: object = None
        if node.sent == "start":
            self.told.signals[node.signal] += 1
            data = self.told.signals[node.signal]
        elif node.sent == "step":
            self.taken[node.signal] += 1
            data = "hello"
        else:
            self._wait(node.timeout or 0)
        return Done(
            dump({"signal_name": node.signal, "timed_out": node.sent == "never", "data": data})
        )
