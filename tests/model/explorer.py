"""Every state that a model can reach, breadth first: the first fault found has the shortest way.

A model says what may happen next in a state. Explored is all of it: each state once, whatever the
order in which the actors act.
"""

import gc
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from model.state import State


class Kind(Enum):
    """What an action is to the question whether everything ends."""

    STEP = "step"  # somebody does what the protocol asks for: must lead to the end
    FAULT = "fault"  # may happen at any time, any number of times; nothing may depend on it


class Action(NamedTuple):
    """What happens, in words, and the state after it."""

    words: str
    kind: Kind
    after: State


class ModelFault(Exception):
    """What is wrong, with the shortest way to it."""

    def __init__(self, problem: str, trace: list[str], state: State) -> None:
        lines = [f"{number:3}  {words}" for number, words in enumerate(trace, 1)]
        super().__init__("\n".join([problem, *lines, f"     then {state.summary}"]))
        self.problem = problem
        self.trace = trace


@dataclass(slots=True)
class Explored:
    """The states that were found, by number, and how they follow from each other."""

    states: list[State] = field(default_factory=list)
    _reached: list[tuple[int, str]] = field(default_factory=list)  # from which state, and how
    _before: list[list[int]] = field(default_factory=list)  # from which states steps lead here
    actions: int = 0

    def trace(self, number: int) -> list[str]:
        """The shortest way to a state."""
        words = []
        while number:
            number, how = self._reached[number]
            words.append(how)
        return words[::-1]

    def add(self, state: State, before: int, words: str) -> int:
        """A state that was not met yet; its number."""
        self.states.append(state)
        self._reached.append((before, words))
        self._before.append([])
        return len(self.states) - 1

    def link(self, before: int, after: int) -> None:
        """Note that a step leads from one to the other."""
        self._before[after].append(before)

    def stuck(self) -> int | None:
        """The first state from which steps alone, without another fault, never lead to the end."""
        ends = [number for number, state in enumerate(self.states) if state.ended]
        good = set(ends)
        while ends:
            for before in self._before[ends.pop()]:
                if before not in good:
                    good.add(before)
                    ends.append(before)
        return next((number for number in range(len(self.states)) if number not in good), None)


def explore(
    initial: State, successors: Callable[[State], Iterable[Action]], most: int = 1_000_000
) -> Explored:
    """Visit all states.

    Raises:
        ModelFault: one of them violates what must hold, or does not lead to the end.
    """
    gc.disable()  # nothing is thrown away, and looking for garbage would take half the time
    try:
        return _explore(initial, successors, most)
    finally:
        gc.enable()


def _explore(
    initial: State, successors: Callable[[State], Iterable[Action]], most: int
) -> Explored:
    found = Explored()
    found.add(initial, 0, "")
    numbers: dict[State, int] = {initial: 0}
    waiting = deque([0])
    while waiting:
        number = waiting.popleft()
        for words, kind, after in successors(found.states[number]):
            found.actions += 1
            known = numbers.get(after)
            if known is None:
                known = numbers[after] = found.add(after, number, words)
                if after.violation:
                    raise ModelFault(after.violation, found.trace(known), after)
                assert known < most, f"more than {most} states: the model is not small"
                waiting.append(known)
            if kind is Kind.STEP:
                found.link(number, known)
    if (stuck := found.stuck()) is not None:
        problem = "from here the instance can never end without another fault"
        raise ModelFault(problem, found.trace(stuck), found.states[stuck])
    return found
