"""Where the engine and the reference differ, as a text that lets the case be run again."""

import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pg_durable.graph.json_text import parse
from support.database import Database
from support.search.graphs import Case
from support.search.nodes import Sql, envelope, walk
from support.search.observe import Observed, cancel_unfinished, observe, start, unfinished
from support.search.told import Broke, Done, Expected, Failed, Never, Outcome, Run, Series
from support.waiting import until


@dataclass(frozen=True, slots=True, kw_only=True)
class Mismatch:
    """A case in which the engine did something else."""

    case: Case
    differences: list[str]
    tree: str

    def __str__(self) -> str:
        lines = [f"=== {self.case.label}", *self.differences, self.tree.rstrip()]
        lines += [json.dumps(envelope(self.case.graph), ensure_ascii=False)]
        lines += [f"again: PYTHONPATH=tests python -m support.search.replay {self.case.seed}", ""]
        return "\n".join(lines)


async def search(db: Database, cases: Sequence[Case], *, within: float) -> list[Mismatch]:
    """Start all cases, wait until they have ended, and compare each with its expectation.

    One that has not ended within so many seconds is a mismatch like any other.
    """
    started = await start(db, cases)
    end = time.monotonic() + within

    async def ended() -> bool:
        return await unfinished(db) == 0 or time.monotonic() > end

    await until(ended, within=within + 60, every=0.2)
    mismatches = []
    for observed in await observe(db, list(started)):
        case = started[observed.instance]
        if found := list(differences(case, observed)):
            tree = await db.scalar("select df.explain(%s)", observed.instance)
            mismatches.append(Mismatch(case=case, differences=found, tree=tree))
    await cancel_unfinished(db)  # whoever searches next must not wait for these
    return mismatches


def differences(case: Case, observed: Observed) -> Iterator[str]:
    """Each thing that is not as expected, one line each."""
    expected = case.expected
    match expected.outcome:
        case Done(text=text):
            if (observed.status, _json(observed.result)) != ("completed", parse(text)):
                yield _line("instance", f"completed {text}", _ending(observed))
        case Failed(error=error):
            if (observed.status, observed.output) != ("failed", error):
                yield _line("instance", f"failed {error}", _ending(observed))
    yield from _node_differences(case, observed)
    yield from _effect_differences(case, observed)


def _ending(observed: Observed) -> str:
    return f"{observed.status} {observed.result if observed.output is None else observed.output}"


def _line(what: str, expected: object, got: object) -> str:
    return f"{what}\n    expected {expected}\n    got      {got}"


# --- nodes


def _node_differences(case: Case, observed: Observed) -> Iterator[str]:
    expected = case.expected
    for path, node in walk(case.graph):
        status, result = observed.nodes[path]
        got = ("unfinished" if status in ("pending", "running") else status, _json(result))
        outcome = expected.nodes.get(path)
        if outcome is not None:
            allowed = [outcome]
        elif _is_free(expected, path):
            continue
        else:
            allowed = [Never(), *expected.possible.get(path, ())]
        if got not in [_as_seen(outcome) for outcome in allowed]:
            texts = " or ".join(str(outcome) for outcome in allowed)
            yield _line(f"{path} ({type(node).__name__})", texts, f"{status} {result}")


def _is_free(expected: Expected, path: str) -> bool:
    """Whether it is in a branch that lost more than once: too much may have happened there."""
    return any(
        count > 1 and path.startswith(f"{loser}.") for loser, count in expected.losers.items()
    )


def _as_seen(outcome: Outcome) -> tuple[str, object]:
    match outcome:
        case Done(text=text) | Broke(text=text):
            return "completed", parse(text)
        case Failed(error=error):
            return "failed", error
    return "unfinished", None


def _json(text: str | None) -> object:
    return None if text is None else parse(text)


# --- effects


def _effect_differences(case: Case, observed: Observed) -> Iterator[str]:
    expected, got = case.expected, Counter(observed.effects)
    free = {
        node.number
        for path, node in walk(case.graph)
        if isinstance(node, Sql) and _is_free(expected, path)
    }
    for leaf in sorted((expected.effects | got).keys() - free):
        least = expected.effects[leaf]
        most = least + expected.possible_effects[leaf]
        if not least <= got[leaf] <= most:
            times = f"{least}" if least == most else f"{least} to {most}"
            yield _line(f"effects of leaf {leaf}", times, got[leaf])

    places: dict[Run, int] = {}
    runs: dict[int, int] = defaultdict(int)
    for place, leaf in enumerate(observed.effects):
        if leaf not in free:
            places[leaf, runs[leaf]] = place
            runs[leaf] += 1
    if wrong := _disorder(expected.order, places):
        yield _line("order of effects", f"{wrong[0]} before {wrong[1]}", observed.effects)


def _disorder(series: Series, places: dict[Run, int]) -> tuple[str, str] | None:
    """Two effects that are in the wrong order, as `leaf/run`."""
    latest: tuple[int, Run] | None = None
    for item in series:
        runs = sorted((places[run], run) for run in _runs([item]) if run in places)
        if not runs:
            continue
        if latest is not None and runs[0] < latest:
            return "/".join(map(str, latest[1])), "/".join(map(str, runs[0][1]))
        latest = runs[-1]
        if not isinstance(item, tuple):
            for branch in item.series:
                if wrong := _disorder(branch, places):
                    return wrong
    return None


def _runs(series: Series) -> Iterator[Run]:
    for item in series:
        if isinstance(item, tuple):
            yield item
        else:
            for branch in item.series:
                yield from _runs(branch)
