"""Sessions that start, signal and cancel, and go on until the database has taken what they bring.

Whatever they do is written into a table by the same transaction. So an answer that is lost costs
nothing: done again, it is refused by that table's key.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import psycopg
from psycopg.types.json import Jsonb

from pg_durable.torture.workload import SIGNAL, Workflow

_DONE_BEFORE = "23505"
_PATIENCE = 5  # seconds for a connection


@dataclass(order=True, frozen=True, slots=True)
class Action:
    """What a client does at some instant of the round."""

    at: float
    verb: str = field(compare=False)
    workflow: Workflow = field(compare=False)
    number: int = field(default=0, compare=False)  # of a signal


@dataclass(slots=True)
class Told:
    """What clients know: how often the server said that it is done."""

    acknowledged: set[str] = field(default_factory=set)  # tags of starts
    counts: Counter[str] = field(default_factory=Counter)
    refused: list[str] = field(default_factory=list)  # what never went through


def actions_of(workflows: Sequence[Workflow]) -> list[Action]:
    """All that is to be done for these workflows, each thing after what it needs."""
    actions = []
    for workflow in workflows:
        actions.append(Action(workflow.at, "start", workflow))
        actions += [
            Action(workflow.at + after, "signal", workflow, number)
            for number, after in enumerate(workflow.signals, 1)
        ]
        if workflow.cancel is not None:
            actions.append(Action(workflow.at + workflow.cancel, "cancel", workflow))
    return sorted(actions)


class Client:
    """One session at a time, of one role; a new one when it is lost."""

    def __init__(self, dsn: str, actions: Sequence[Action], told: Told, seed: int) -> None:
        self._dsn = dsn
        self._actions = actions
        self._told = told
        self._dice = random.Random(seed)
        self._session: psycopg.AsyncConnection | None = None

    async def run(self, began: float, give_up: float) -> None:
        """Do everything at its time, or as soon after as the server lets it."""
        clock = asyncio.get_running_loop().time
        try:
            for action in self._actions:
                await asyncio.sleep(max(began + action.at - clock(), 0))
                await self._do(action, began + give_up)
        finally:
            await self._close()

    async def _do(self, action: Action, give_up: float) -> None:
        if action.verb == "start" and self._dice.random() < 0.03:
            await self._start_and_roll_back(action.workflow)
        while True:
            try:
                async with asyncio.timeout(30):
                    await self._try(action)
            except psycopg.errors.UniqueViolation:
                self._told.counts[f"{action.verb}s done before"] += 1  # its answer was lost
            except (psycopg.Error, OSError, TimeoutError) as error:
                await self._close()
                self._told.counts[f"{action.verb}s tried again"] += 1
                if asyncio.get_running_loop().time() > give_up:
                    self._told.refused.append(f"{action.verb} of {action.workflow.tag}: {error}")
                    return
                await asyncio.sleep(0.05 + self._dice.random() * 0.2)
                continue
            if action.verb == "start":
                self._told.acknowledged.add(action.workflow.tag)
            self._told.counts[f"{action.verb}s"] += 1
            return

    async def _try(self, action: Action) -> None:
        session, workflow = await self._connected(), action.workflow
        async with session.transaction():
            if action.verb == "start":
                await session.execute(_start(workflow), _start_parameters(workflow))
            elif action.verb == "signal":
                tag, number = workflow.tag, action.number
                await session.execute("insert into torture.signals values (%s, %s)", [tag, number])
                await session.execute(
                    "select df.signal(instance, %s, %s) from torture.starts where tag = %s",
                    [SIGNAL, f'{{"n": {number}}}', tag],
                )
            else:
                await session.execute("insert into torture.cancels values (%s)", [workflow.tag])
                await session.execute(
                    "select df.cancel(instance) from torture.starts where tag = %s", [workflow.tag]
                )

    async def _start_and_roll_back(self, workflow: Workflow) -> None:
        """Of a start that is rolled back nothing may be left."""
        try:
            async with asyncio.timeout(30):
                session = await self._connected()
                async with session.transaction(force_rollback=True):
                    await session.execute(f"select df.start({workflow.sql})")
                self._told.counts["starts rolled back"] += 1
        except (psycopg.Error, OSError, TimeoutError):
            await self._close()

    async def _connected(self) -> psycopg.AsyncConnection:
        if self._session is None or self._session.closed:
            self._session = await psycopg.AsyncConnection.connect(
                self._dsn, autocommit=True, connect_timeout=_PATIENCE, prepare_threshold=None
            )
        return self._session

    async def _close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()


def _start(workflow: Workflow) -> str:
    expression = workflow.sql.replace("%", "%%")
    return (
        "insert into torture.starts (tag, instance, kind, expected)"
        f" select %s, df.start({expression}, %s), %s, %s"
    )


def _start_parameters(workflow: Workflow) -> list[object]:
    return [workflow.tag, workflow.tag, workflow.kind, Jsonb(dict(workflow.expected()))]
