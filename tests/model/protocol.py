"""The protocol of claims, checkpoints and take-overs: all that may happen in a state.

Each action is one that PostgreSQL makes atomic: a row that is looked at, written or skipped, or a
commit. Its words name the function of `df` that it stands for. So the order in which actions
follow each other is any that real sessions could have.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from model.explorer import Action, Explored, explore
from model.server import serve
from model.state import Instance, Node, Rules, Setting, State, Worker
from model.users import cancel, send_signals, wait
from model.workers import claim, drive, leases
from model.workflows import Workflow


@dataclass(frozen=True, slots=True)
class Protocol:
    """Workers on one instance of a workflow, and whoever else touches it."""

    workflow: Workflow
    setting: Setting = field(default_factory=Setting)
    rules: Rules = field(default_factory=Rules)

    def initial(self) -> State:
        """Started and committed; every worker lives."""
        numbers = self.setting.numbers
        return State(
            instance=Instance(),
            nodes=tuple(Node() for _ in self.workflow.names),
            workers=tuple(Worker(number) for number in numbers),
            living=frozenset(numbers),
            senders=("idle",) * self.setting.senders,
        )

    def successors(self, state: State) -> Iterator[Action]:
        """All that may happen next."""
        workflow, setting, rules = self.workflow, self.setting, self.rules
        for index, worker in enumerate(state.workers):
            yield from claim(state, index, setting)
            if worker.run is not None:
                yield from drive(state, index, worker.run, workflow, setting, rules)
                yield from wait(state, index, worker.run, workflow, setting, rules)
        for lane in state.lanes:
            yield from serve(state, lane, workflow, rules)
        yield from leases(state, setting)
        if setting.cancels:
            yield from cancel(state, workflow)
        yield from send_signals(state, rules)

    def explore(self) -> Explored:
        """Visit every state."""
        return explore(self.initial(), self.successors)
