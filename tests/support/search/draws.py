"""Random leaves."""

from dataclasses import dataclass, field, replace
from random import Random

from support.search.nodes import STRINGS, Break, Form, Node, Signal, Sleep, Sql

NAMES = ("x", "y", "xy", "long_name")  # one is the beginning of another


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the graph the next node goes."""

    in_loop: bool = False
    waits: str = "start"  # the name of signals: one for all waits that follow each other


@dataclass(slots=True)
class Leaves:
    """Draws leaves; knows which numbers and names are given."""

    random: Random
    numbers: int = 0
    names: list[str] = field(default_factory=list)  # given so far

    def named(self, node: Node, chance: float) -> Node:
        """The node, perhaps under a name."""
        if self.random.random() >= chance:
            return node
        name = self.random.choice(NAMES)
        self.names.append(name)
        return replace(node, name=name)

    def leaf(self, place: Place) -> Node:
        choice = self.random.random()
        if choice < 0.03 or (place.in_loop and choice < 0.08):
            return Break(value=self.break_value())
        if choice < 0.16:
            # The longest makes a worker let go of the instance meanwhile.
            return Sleep(seconds=self.random.choice(("0",) * 8 + ("0.002", "0.01") * 4 + ("0.3",)))
        if choice < 0.21:
            return Signal(signal=place.waits, sent="start")
        if choice < 0.215:
            return Signal(signal=place.waits + "late", sent="never", timeout=1)
        if choice < 0.30 and self.names:
            form = self.random.choice((Form.COPY, Form.COPY, Form.PICK))
            return Sql(number=self.number(), form=form, text=self.known_name())
        if choice < 0.32:
            return Sql(number=self.number(), form=Form.FAIL)
        if choice < 0.45:
            return self.constant()
        if choice < 0.50:
            return self.count()
        if choice < 0.65:
            return self.probe(self.random.choice(NAMES))
        return self.value()

    def value(self) -> Node:
        form = self.random.choice((Form.VALUE, Form.VALUE, Form.LEAF, Form.AFFECTED))
        return Sql(number=self.number(), form=form, text=self.expression())

    def probe(self, name: str) -> Node:
        """Look at a name without failing when nothing is stored under it."""
        return Sql(number=self.number(), form=Form.VALUE, text=f"$q$ ${name}? $q$")

    def count(self) -> Node:
        return Sql(number=self.number(), form=Form.COUNT, modulus=self.random.randrange(1, 5))

    def constant(self) -> Node:
        """A leaf that cannot fail."""
        if self.random.random() < 0.3:
            return Sql(number=self.number(), form=Form.EMPTY)
        rows = tuple(
            (
                self.random.choice((0, 1, -1, 2**40, None)),
                self.random.choice((*STRINGS, None)),
            )
            for _ in range(self.random.randrange(1, 4))
        )
        return Sql(number=self.number(), form=Form.ROWS, rows=rows)

    def expression(self) -> str:
        """An SQL expression of literals, variables and references."""
        name = self.known_name()
        column = self.random.choice(("value", "leaf", "n", "s", "go"))
        return self.random.choice(
            (
                *("5", "-3", "'text'", "true", "'{v2}'", "{v1}", "{v3}", "'{v4}'"),
                *("'{unknown}'", "'{sys_label}'", "'$unknown'", '\'{"k":"{v1}"}\''),
                *(f"${name}", f"${name}.{column}", f"${name}.{column}?"),
                *(f"${name}?",) * 5,
            )
        )

    def break_value(self) -> str | None:
        name = self.known_name()
        return self.random.choice(
            (
                *(None, "done", "5", '{"n":1}', "[]", "{v1}", '{"k":"{v2}"}', "{v3}", "$unknown"),
                *(f"${name}?", f"${name}", f'{{"k":${name}?}}', f"${name}.*"),
            )
        )

    def known_name(self) -> str:
        """A name given before, if there is one; whether anything is stored is another matter."""
        return self.random.choice(self.names or NAMES)

    def number(self) -> int:
        self.numbers += 1
        return self.numbers
