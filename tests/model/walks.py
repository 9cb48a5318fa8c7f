"""Ways through the model that sessions can be led along.

What the server does by itself, the rows of a checkpoint one after another, is one call here: it
ends, or waits for a lock until whoever has that commits.
"""

import random
import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from model.explorer import Action
from model.protocol import Protocol
from model.state import State

_BY_ITSELF = re.compile(r"df\._(checkpoint|record) of |df\.cancel stops ")
_LONGEST = 60


class Move(NamedTuple):
    """An action as far as sessions can be led to take it, and the state when all wait again."""

    words: str
    before: State
    after: State


def moves(protocol: Protocol, state: State) -> Iterator[Move]:
    """What may be done next from outside."""
    for words, _, after in protocol.successors(state):
        if _BY_ITSELF.match(words):
            continue
        while (going := _by_itself(protocol, after)) is not None:
            after = going.after
        waiting = [lane for lane in after.lanes if lane.phase in ("sent", "recording")]
        if len(waiting) + (after.user in range(len(after.nodes))) < 2:  # else it is a queue
            yield Move(words, state, after)


def _by_itself(protocol: Protocol, state: State) -> Action | None:
    found = (x for x in protocol.successors(state) if _BY_ITSELF.match(x.words))
    return next(found, None)


def walk(protocol: Protocol, seen: Counter[tuple[object, ...]], seed: int) -> list[Move]:
    """A way to the end, by what was taken least so far."""
    choice = random.Random(seed)
    state, way = protocol.initial(), list[Move]()
    while not state.ended and len(way) < _LONGEST:
        options = list(moves(protocol, state))
        move = min(options, key=lambda move: (seen[_kind(move)], choice.random()))
        seen[_kind(move)] += 1
        way.append(move)
        state = move.after
    return way


def follow(protocol: Protocol, words: list[str]) -> list[Move]:
    """The way through a protocol that does, from outside, what a trace through another one did."""
    state, way = protocol.initial(), list[Move]()
    for said in words:
        move = next((move for move in moves(protocol, state) if move.words == said), None)
        if move is not None:
            way.append(move)
            state = move.after
    return way


def _kind(move: Move) -> tuple[object, ...]:
    """What counts as the same thing done in the same situation."""
    lanes = tuple((lane.leaf, lane.phase, lane.client is None) for lane in move.before.lanes)
    words = re.sub(r"(worker|number) \d", r"\1", move.words)
    return words, lanes, move.before.instance.status, move.before.user is not None
