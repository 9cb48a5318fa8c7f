"""Branches side by side, and what comes of a JOIN or RACE of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from pg_durable.errors import LimitExceeded
from pg_durable.graph.outcomes import Broke, Done, Failed, Outcome, Scope


@dataclass(slots=True)
class Branches:
    """The names of each branch and what came of it, by the id of its root, in order."""

    scopes: dict[str, Scope]
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    size: int = 0  # characters of the results so far

    @classmethod
    def of(cls, ids: Sequence[str], around: Scope) -> "Branches":
        """Give each branch names of its own."""
        return cls({id_: around.branch() for id_ in ids})

    def end(self, branch: str, outcome: Outcome, limit: int) -> None:
        """Note what came of a branch; one with which all results exceed the limit fails."""
        if isinstance(outcome, Done):
            self.size += len(outcome.result)
            if self.size > limit:
                error = LimitExceeded(
                    f"The results of the branches have {self.size} characters or more; "
                    f"the limit is {limit}.",
                    hint="Keep large results in a table, or raise max_result_bytes.",
                )
                outcome = Failed.of(error)
        self.outcomes[branch] = outcome

    def joined(self, around: Scope) -> Outcome:
        """What a JOIN comes to when all branches have; their names are merged on the way.

        The first branch in order that failed or broke decides.
        """
        results = []
        for number, (id_, scope) in enumerate(self.scopes.items(), start=1):
            outcome = self.outcomes[id_]
            if isinstance(outcome, Failed):
                return Failed(f"JOIN branch {number} failed: {outcome.message}", outcome.details)
            around.merge(scope)
            if isinstance(outcome, Broke):
                return outcome
            results.append(outcome.result)
        return Done("[" + ",".join(results) + "]")

    def raced(self, winner: str, side: str, outcome: Outcome, around: Scope) -> Outcome:
        """What a RACE comes to with its winner's outcome."""
        if isinstance(outcome, Failed):
            return Failed(f"RACE {side} branch failed: {outcome.message}", outcome.details)
        around.merge(self.scopes[winner])
        return outcome
