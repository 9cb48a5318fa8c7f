"""SLEEP: a wait whose end is fixed on entry. It occupies no session."""

from pg_durable.graph.outcomes import Done, Leaf


def seconds_of(leaf: Leaf) -> int:
    """How long the node sleeps in all."""
    return int(leaf.node.query or "0")


def slept(leaf: Leaf) -> Done:
    """The result of a sleep that is over."""
    return Done(f'{{"slept":true,"seconds":{seconds_of(leaf)}}}')
