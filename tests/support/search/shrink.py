"""The smallest graph that still differs."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace

from support.search.compare import Mismatch
from support.search.graphs import Case
from support.search.nodes import (
    Form,
    Join,
    Loop,
    Node,
    Sql,
    children,
    walk,
    with_child,
)
from support.search.reference import expect
from support.search.told import Unsuitable

Try = Callable[[Sequence[Case]], Awaitable[list[Mismatch]]]


async def shrink(mismatch: Mismatch, attempt: Try) -> Mismatch:
    """Make the graph smaller as long as it differs; all smaller ones are tried at once."""
    while True:
        smaller = list(_cases(mismatch.case))
        differing = await attempt(smaller) if smaller else []
        if not differing:
            return mismatch
        mismatch = min(differing, key=lambda found: _weight(found.case.graph))


def _cases(case: Case) -> Iterator[Case]:
    for graph in _smaller(case.graph):
        if _weight(graph) < _weight(case.graph):
            try:
                expected = expect(graph, case.label)
            except Unsuitable:
                continue
            yield replace(case, graph=graph, expected=expected)


def _weight(graph: Node) -> tuple[int, int, int]:
    nodes = [node for _, node in walk(graph)]
    text = sum(len(n.text) + len(n.rows) + n.modulus for n in nodes if isinstance(n, Sql))
    return len(nodes), sum(node.name is not None for node in nodes), text


def _smaller(node: Node) -> Iterator[Node]:
    """Graphs with one thing less."""
    if node.name is not None:
        yield replace(node, name=None)
    for child in children(node).values():
        yield child
        yield replace(child, name=node.name)
    match node:
        case Join(branches=branches) if len(branches) > 2:
            for gone in branches:
                yield replace(node, branches=tuple(b for b in branches if b is not gone))
        case Loop(condition=condition) if condition is not None:
            yield replace(node, condition=None)
        case Sql(form=Form.VALUE, text="5") | Sql(form=Form.FAIL):
            pass
        case Sql(form=Form.COUNT, modulus=modulus):
            for fewer in range(1, modulus):
                yield replace(node, modulus=fewer)
        case Sql():
            yield replace(node, form=Form.VALUE, text="5", rows=())
    for step, child in children(node).items():
        for smaller in _smaller(child):
            yield with_child(node, step, smaller)
