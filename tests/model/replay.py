"""Ways through the model, taken with real sessions on a real server: the rows must be the same."""

import json
import re

from model.protocol import Protocol
from model.state import GONE, Change, Lane, State
from model.walks import Move
from support.database import Database
from support.sessions import SteppedSession

_CHECKPOINT = "select df._checkpoint(%s, %s, %s, %s::int[], %s, %s, %s, %s, null)"
_ALIKE = "select df._checkpoint_alike(%s, %s, %s, %s, %s, %s)"
_MOST_ALIKE = 4
_LONG = 3600.0  # a lease that nobody exceeds by being slow
_OBSERVER = 0  # takes over, and is no worker


class Deviation(AssertionError):
    """The server did something else than the model."""


class Replay:
    """One instance, workers and sessions, as the model has them."""

    def __init__(self, protocol: Protocol, db: Database, instance: str) -> None:
        self._protocol = protocol
        self._db = db
        self._instance = instance
        self._numbers: dict[int, int] = {}  # what the workers of the model are called here
        self._control: dict[int, Database] = {}
        self._steps: list[SteppedSession] = []
        self._user: SteppedSession
        self._way: list[str] = []

    async def open(self) -> None:
        """Start the instance, the workers and the sessions."""
        workflow = self._protocol.workflow
        await self._db.rows(f"select by_hand.start({workflow.dsl}, %s)", self._instance)
        for number in set(self._protocol.setting.numbers):
            await self._register(number)
        for session in range(self._protocol.setting.lanes):
            self._steps.append(await SteppedSession.open(f"step {session}", self._db.conninfo))
        self._user = await SteppedSession.open("user", self._db.conninfo)

    async def close(self) -> None:
        """End all of it."""
        for session in (*self._steps, self._user):
            await session.close()
        for control in self._control.values():
            await control.close()

    async def follow(self, way: list[Move]) -> None:
        """Take a way, and compare all rows after each move.

        Raises:
            Deviation: they are not what the model says.
        """
        for move in way:
            self._way.append(move.words)
            await self._take(move)
            for lane in move.after.lanes:
                await self._settle(lane)
            if move.after.user is not None and self._user.waits:
                await self._expect_end(self._user, move.after.user == len(move.after.nodes))
            await self._compare(move.after)

    async def _take(self, move: Move) -> None:
        words, after = move.words, move.after
        gone = {x.session: x for x in move.before.lanes}
        for lane in after.lanes:
            gone.pop(lane.session, None)
        if (found := re.match(r"worker (\d) claims", words)) is not None:
            number = after.workers[int(found[1]) - 1].number
            query = "select claimed from by_hand.claim(%s)"
            rows = await self._db.rows(query, self._numbers[number])
            self._demand(rows == [(self._instance,)], "nothing was claimed")
        elif words.endswith("BEGIN, the statement"):
            (lane,) = set(after.lanes) - set(move.before.lanes)
            await self._begin(lane)
        elif " sends df._checkpoint" in words:
            await self._send(move)
        elif words.startswith("COMMIT of df.cancel"):
            await self._run(self._user, "commit")
        elif "df.cancel is rolled back" in words:
            self._user = await self._terminated(self._user)
        elif words.startswith("COMMIT of "):
            (lane,) = [x for x in move.before.lanes if x.phase == "recorded" and _ended(x, after)]
            await self._run(self._steps[lane.session], "commit")
        elif "backend is terminated" in words or "its session is closed" in words:
            for session in gone:
                self._steps[session] = await self._terminated(self._steps[session])
        elif "df._save, release" in words:
            await self._save(move, "release")
        elif "df._save, completed" in words:
            await self._save(move, "completed")
        elif words.startswith("df._take_over"):
            await self._take_over()
        elif (found := re.match(r"the lease of worker (\d) expires", words)) is not None:
            number = self._protocol.setting.numbers[int(found[1]) - 1]
            await self._db.rows(
                "update df._worker_epoch set last_seen_at = '-infinity' where worker = %s",
                self._numbers[number],
            )
            await self._take_over()
        elif (found := re.search(r"worker (\d) (is killed|that it is dead)", words)) is not None:
            await self._restart(self._protocol.setting.numbers[int(found[1]) - 1], found[2])
        elif words.startswith("df.cancel locks"):
            await self._run(self._user, "begin")
            self._user.begin("select df.cancel(%s)", (self._instance,))
            await self._expect_end(self._user, after.user == len(after.nodes))
        elif not re.search("hears that|learns that|connection is lost", words):
            raise AssertionError(f"no session knows how to do this: {words}")

    async def _begin(self, lane: Lane) -> None:
        session = self._steps[lane.session]
        await self._run(session, "begin")
        step = self._protocol.workflow.names[lane.leaf[0]]
        await self._run(
            session,
            "insert into by_hand.effects values (%s, %s, %s)",
            (self._instance, step, lane.leaf[1]),
        )

    async def _send(self, move: Move) -> None:
        (sent,) = [x for x in move.before.lanes if _sent(x, move)]
        workflow = self._protocol.workflow
        index = sent.client
        assert index is not None
        run = move.before.workers[index].run
        assert run is not None
        committing = any(x.client == index and x.phase != "statement" for x in move.before.lanes)
        settled = workflow.settle(run.nodes, sent.leaf, not committing)
        self._begin_checkpoint(sent, settled.plan, finishes=bool(settled.finishes))

    def _begin_checkpoint(self, sent: Lane, plan: tuple[Change, ...], *, finishes: bool) -> None:
        """Send it in the form in which a worker would."""
        named = self._instance, self._numbers[sent.number]
        nodes, generations, statuses, results, details = self._rows_of(plan)
        session = self._steps[sent.session]
        alike = set(statuses) == {"completed"} and len(set(generations)) == 1
        if alike and not any(details) and len(nodes) <= _MOST_ALIKE:
            session.begin(_ALIKE, (*named, nodes, generations[0], results[0], finishes))
        else:
            outcome = "completed" if finishes else None
            session.begin(
                _CHECKPOINT, (*named, nodes, generations, statuses, results, details, outcome)
            )

    async def _settle(self, lane: Lane) -> None:
        """What is under way ends, or waits, as the model says."""
        session = self._steps[lane.session]
        if session.waits:
            ends = lane.phase not in ("sent", "recording")
            await self._expect_end(session, ends, refused=lane.phase == "refused")
        if lane.phase == "refused":
            await self._run(session, "rollback")

    def _rows_of(self, plan: tuple[Change, ...]) -> tuple[list[object], ...]:
        ids = ["0000000" + self._protocol.workflow.ids[change.node] for change in plan]
        results, details = list[object](), list[object]()
        for change in plan:
            results.append(None if change.status == "stopped" else "{}")
            loop = {"first": 1, "iteration": change.iteration}
            details.append(json.dumps(loop) if change.iteration else None)
        generations: list[object] = [change.generation for change in plan]
        return [*ids], generations, [change.status for change in plan], results, details

    async def _save(self, move: Move, then: str) -> None:
        pairs = zip(move.before.workers, move.after.workers, strict=True)
        (worker,) = [before for before, after in pairs if before.run != after.run]
        assert worker.run is not None
        rest = self._protocol.workflow.rest(worker.run.nodes)
        changes = rest if then == "completed" else ()
        nodes, generations, statuses, results, details = self._rows_of(changes)
        item = {
            "instance": self._instance,
            "then": then,
            "delay": 0,
            "attempts": 0,
            "nodes": nodes,
            "generations": generations,
            "statuses": statuses,
            "results": results,
            "details": details,
        }
        refused = await self._db.rows(
            "select reason from df._save(%s, %s)", self._numbers[worker.number], json.dumps([item])
        )
        expected = [("lost",)] if move.words.endswith("lost") else []
        self._demand(refused == expected, f"df._save says {refused}")

    async def _take_over(self) -> None:
        await self._db.rows("select df._take_over(%s, %s)", _OBSERVER, _LONG)

    async def _register(self, number: int) -> None:
        control = self._control[number] = await Database.connect(self._db.conninfo)
        self._numbers[number] = await control.scalar("select df._register('model')")

    async def _restart(self, number: int, how: str) -> None:
        control = self._control[number]
        if how != "is killed":
            alive = await control.scalar("select df._heartbeat(%s)", self._numbers[number])
            self._demand(alive is False, "df._heartbeat says that it lives")
        await control.close()
        # By the time that anybody looks, its lock is gone.
        await self._db.rows("delete from df._worker_epoch where worker = %s", self._numbers[number])
        await self._register(number)

    async def _terminated(self, session: SteppedSession) -> SteppedSession:
        """The session after it, whatever it was at."""
        await self._db.rows("select pg_terminate_backend(%s, 30000)", session.pid)
        await session.close()
        return await SteppedSession.open(session.name, self._db.conninfo)

    async def _run(
        self, session: SteppedSession, statement: str, params: tuple[object, ...] = ()
    ) -> None:
        session.begin(statement, params or None)
        await self._expect_end(session, True)

    async def _expect_end(
        self, session: SteppedSession, ends: bool, *, refused: bool = False
    ) -> None:
        pids = [other.pid for other in (*self._steps, self._user)]
        answer = await session.end(self._db.session, pids)
        self._demand((answer is not None) == ends, "it ended" if answer else "it waits")
        if answer is not None:
            state = getattr(answer, "sqlstate", None)
            self._demand(state == ("WF002" if refused else None), f"it ended with {answer!r}")

    async def _compare(self, state: State) -> None:
        """Every row that the model has."""
        worker, status, due = await self._db.row(
            "select worker, status, case when worker is null then due_at <= clock_timestamp() end"
            " from df.instances where id = %s",
            self._instance,
        )
        numbers = {real: number for number, real in self._numbers.items()}
        row = (status, None if worker is None else numbers.get(worker, GONE), due)
        expected = (*state.instance[:2], True if state.instance.due == "now" else None)
        self._demand(row == expected, f"the instance is {row}, and not {expected}")
        rows = {
            id_: (status, generation, stopped)
            for id_, *(status, generation, stopped) in await self._db.rows(
                "select right(id, 1), status, generation, least(stopped_through, 99)"
                " from df.nodes where instance_id = %s",
                self._instance,
            )
        }
        for id_, node in zip(self._protocol.workflow.ids, state.nodes, strict=True):
            self._demand(rows[id_] == node[:3], f"node {id_} is {rows[id_]}, and not {node[:3]}")
        names = self._protocol.workflow.names
        effects = sorted(
            await self._db.rows(
                "select step, generation from by_hand.effects where instance = %s", self._instance
            )
        )
        committed = sorted((names[node], generation) for node, generation in state.effects)
        self._demand(effects == committed, f"steps have run: {effects}, and not {committed}")

    def _demand(self, holds: bool, otherwise: str) -> None:
        if not holds:
            raise Deviation("\n".join([*self._way, f"but {otherwise}"]))


def _ended(lane: Lane, after: State) -> bool:
    """Whether a lane that was ready to commit has done so."""
    return all(x.session != lane.session or x.phase == "committed" for x in after.lanes)


def _sent(lane: Lane, move: Move) -> bool:
    """Whether a lane's checkpoint was sent with this move."""
    if lane.phase != "statement" or lane.client is None:
        return False
    now = [x for x in move.after.lanes if x.session == lane.session]
    return not now or now[0].phase != "statement"
