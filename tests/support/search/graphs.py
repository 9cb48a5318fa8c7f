"""A random graph for a seed; the greater the seed, the larger the graph may be."""

from dataclasses import dataclass, replace
from random import Random

from support.search.draws import NAMES, Leaves, Place
from support.search.nodes import (
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
)
from support.search.reference import expect
from support.search.told import Expected, Failed, Unsuitable

LARGEST = 40  # nodes, roughly


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A graph, and what it must do."""

    seed: int
    graph: Node
    expected: Expected

    @property
    def label(self) -> str:
        """The label of its instance."""
        return f"seed {self.seed}"


def make_case(seed: int) -> Case:
    """The case of a seed: always the same one.

    Most graphs that fail are thrown away, since what follows a failure does not run.
    """
    random = Random(seed)
    while True:
        graph = _Draft(random).graph(1 + random.randrange(2 + seed % LARGEST))
        try:
            expected = expect(graph, f"seed {seed}")
        except Unsuitable:
            continue
        if not isinstance(expected.outcome, Failed) or random.random() < 0.2:
            return Case(seed=seed, graph=graph, expected=expected)


@dataclass(slots=True)
class _Draft(Leaves):
    """A graph on its way."""

    def graph(self, size: int) -> Node:
        """A whole graph; now and then with all names looked at in the end."""
        graph = self.node(size, Place())
        if self.random.random() < 0.3:
            for name in NAMES:
                graph = Then(left=graph, right=self.probe(name))
        return graph

    def node(self, size: int, place: Place) -> Node:
        """A graph of about so many nodes; it ends, whatever its parts do."""
        if size <= 1:
            return self.named(self.leaf(place), 0.5)
        make = self.random.choices(
            (self.then, self.condition, self.if_rows, self.join, self.race, self.loop, self.talk),
            weights=(8, 3, 1, 3, 3, 4, 1),
        )[0]
        return self.named(make(size, place), 0.35)

    def then(self, size: int, place: Place) -> Node:
        cut = self.random.randrange(1, size)
        return Then(left=self.node(cut, place), right=self.node(size - cut, place))

    def condition(self, size: int, place: Place) -> Node:
        third = size // 3
        return If(
            condition=self.judge(third, place),
            left=self.node(third, place),
            right=self.node(third, place),
        )

    def judge(self, size: int, place: Place) -> Node:
        """A condition: mostly one leaf that gives both answers in turn."""
        if self.random.random() < 0.5:
            return self.count()
        return self.node(self.random.randrange(1 + size), place)

    def if_rows(self, size: int, place: Place) -> Node:
        return IfRows(
            rows_of=self.known_name(),
            left=self.node(size // 2, place),
            right=self.node(size // 2, place),
        )

    def join(self, size: int, place: Place) -> Node:
        branches = self.random.choice((2, 2, 2, 3, 4))
        return Join(
            branches=tuple(self.node(size // branches, self.apart(place)) for _ in range(branches))
        )

    def race(self, size: int, place: Place) -> Node:
        winner = self.node(2 * size // 3, self.apart(place))
        loser = self.endless(size // 3, self.apart(place))
        if self.random.random() < 0.5:
            return Race(left=winner, right=loser)
        return Race(left=loser, right=winner)

    def loop(self, size: int, place: Place) -> Node:
        """A loop that ends after a few iterations, by its condition or a break."""
        inside = replace(place, in_loop=True)
        body = self.node(size - 1, inside)
        match self.random.randrange(4):
            case 0 | 1:
                return Loop(body=body, condition=self.count())
            case 2:
                condition = Then(left=self.node(size // 3, inside), right=self.count())
                return Loop(body=body, condition=condition)
        ending: Node = Break(value=self.break_value())
        if self.random.random() < 0.3:
            ending = Join(branches=(ending, self.node(1, self.apart(inside))))
        if self.random.random() < 0.5:
            return Loop(body=If(condition=self.count(), left=body, right=ending))
        return Loop(
            body=Then(left=body, right=If(condition=self.count(), left=self.value(), right=ending))
        )

    def talk(self, size: int, place: Place) -> Node:
        """A signal from one step of the graph to another."""
        number = self.number()
        send: Node = Sql(number=number, form=Form.SEND, text=f"own{number}")
        wait: Node = Signal(signal=f"own{number}", sent="step")
        if size > 2:
            wait = Then(left=wait, right=self.node(size - 2, self.apart(place)))
        match self.random.randrange(3):
            case 0:
                return Then(left=send, right=wait)
            case 1:
                return Join(branches=(self.named(wait, 0.5), send))
        return Join(branches=(send, wait))

    def endless(self, size: int, place: Place) -> Node:
        """A graph that waits for what never comes, at the beginning or after a safe step."""
        wait: Node = self.random.choice(
            (Sleep(seconds="3600"), Schedule(), Signal(signal="never", sent="never"))
        )
        rest = self.node(max(1, size - 1), place)
        match self.random.randrange(8):
            case 0 | 1:
                return wait
            case 2:
                return Then(left=wait, right=rest)
            case 3:
                return Then(left=self.named(self.constant(), 0.5), right=wait)
            case 4:
                return Join(branches=(rest, wait))
            case 5:
                return Loop(body=Then(left=self.constant(), right=wait))
            case 6:
                return Loop(body=self.constant(), condition=wait)
        return Race(
            left=self.endless(size // 2, self.apart(place)),
            right=self.endless(size // 2, self.apart(place)),
        )

    def apart(self, place: Place) -> Place:
        """A branch: its waits share no signals with what runs beside it."""
        return replace(place, waits=f"start{self.number()}")
