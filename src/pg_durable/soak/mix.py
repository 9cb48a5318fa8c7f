"""The workflows of the soak: a realistic mix, with a known number of steps each.

Each step that writes adds one to a row of a table, so the sum of the table tells at the end how
many steps have taken effect.
"""

import random
from dataclasses import dataclass

ROWS = 10_000  # of the table; so steps seldom wait for each other's rows

TABLES = f"""
    create table soak_work (id int primary key, n bigint not null default 0)
      with (fillfactor = 50);
    insert into soak_work (id) select generate_series(1, {ROWS});
    create table soak_rounds (id int primary key, n bigint not null default 0)
      with (fillfactor = 50);
    insert into soak_rounds (id) select generate_series(1, {ROWS});
"""
EFFECTS = "select (select sum(n) from soak_work) + (select sum(n) from soak_rounds)"

_ROUNDS = 3
SIGNAL = "go"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of workflow.

    Attributes:
        share: how often it is started, in percent.
        expression: SQL for the graph, with a placeholder for each statement.
        steps: the steps that write; a loop's are those of all its iterations.
        waits: seconds that it waits by intent, left out of its latency; None where they are not
            fixed, so that it has no latency.
        signalled: after so many seconds it is sent a signal.
    """

    name: str
    share: int
    expression: str
    steps: int
    waits: float | None = 0.0
    signalled: float | None = None
    loop: bool = False

    def statements(self, row: int) -> list[str]:
        """The statements of an instance, which begins with this row of the table."""
        if self.loop:
            return [
                f"update soak_rounds set n = n + 1 where id = {_row(row)}"  # noqa: S608 -- a number
                f" returning n % {_ROUNDS} as more"
            ]
        return [
            f"update soak_work set n = n + 1 where id = {_row(row + number)} returning n"  # noqa: S608
            for number in range(self.steps)
        ]


def _row(number: int) -> int:
    return number % ROWS + 1


def _chain(length: int) -> str:
    return " ~> ".join(["%s::text"] * length)


KINDS = (
    Kind(name="one step", share=36, expression="%s::text", steps=1),
    Kind(name="chain of 3", share=20, expression=_chain(3), steps=3),
    Kind(name="chain of 10", share=8, expression=_chain(10), steps=10),
    Kind(name="join", share=12, expression="(%s::text & %s::text) ~> %s::text", steps=3),
    Kind(
        name="sleep",
        share=10,
        expression="%s::text ~> df.sleep('500 ms') ~> %s::text",
        steps=2,
        waits=0.5,
    ),
    Kind(
        name="signal",
        share=9,
        expression=f"%s::text ~> df.wait_for_signal('{SIGNAL}', 600) ~> %s::text",
        steps=2,
        waits=None,
        signalled=0.4,
    ),
    Kind(
        name="loop",
        share=5,
        expression="df.loop(%s::text |=> 'round' ~> df.sleep('50 ms'), 'select $round.more <> 0')",
        steps=_ROUNDS,
        waits=None,
        loop=True,
    ),
)


class Draw:
    """Draws workflows by their shares; the same seed gives the same ones."""

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(seed)  # noqa: S311 -- nothing secret is drawn
        self._shares = [kind.share for kind in KINDS]
        self._rounds = 0

    def next(self) -> tuple[Kind, list[str]]:
        """A kind, and the statements of its instance."""
        (kind,) = self._dice.choices(KINDS, self._shares)
        if kind.loop:  # one after the other: no two that run share a row, by which they count
            self._rounds += 1
            return kind, kind.statements(self._rounds)
        return kind, kind.statements(self._dice.randrange(ROWS))

    def pause(self, rate: float) -> float:
        """Seconds until the next start, of those that come by chance at a rate."""
        return self._dice.expovariate(rate)
