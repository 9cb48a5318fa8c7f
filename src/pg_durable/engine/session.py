"""One registration of a worker with the database, from its first claim to its last.

Everything a session knows can be thrown away: when a connection of its own is lost, the
session ends, its instances become due again, and the worker opens a new one.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

from pg_durable.engine.context import Context
from pg_durable.engine.giving_back import released
from pg_durable.engine.housekeeping import Housekeeper
from pg_durable.engine.requests import Http
from pg_durable.engine.run import Run
from pg_durable.engine.saver import Saver
from pg_durable.engine.watch import SchemaWatch
from pg_durable.lanes.pool import LanePool
from pg_durable.records import Claimed, Claims
from pg_durable.schema import check_version
from pg_durable.settings import Settings, numbers
from pg_durable.store import CANCELLED, SIGNALLED, Store
from pg_durable.wire import ConnectionLost, Wire
from pg_durable.wire.dsn import same_server, worker_dsn

log = logging.getLogger(__name__)

_FAREWELL = 5.0  # seconds that giving back what is held may take
_MOST_WAITING = 10  # times the capacity
_CROWDED_PAUSE = 0.25  # between looks for other roles, while there is no room
_SHORTEST_PAUSE = 0.001
_OPENING = 60.0  # seconds after which a server that lets us in must have answered
_LEAST_PATIENCE = 5.0  # seconds for an answer to a heartbeat, however short the lease
_LONGEST_PAUSE = 0.004  # then the worker counts as idle and waits to be notified


class Session:
    """Claims instances and drives them until told to stop."""

    def __init__(
        self,
        settings: Settings,
        control: Wire,
        engine: Wire,
        saves: Wire,
        worker: int,
        schema: tuple[int, int],
    ) -> None:
        self._settings = settings
        self._control_wire = control
        self._control = Store(control, schema)
        self._engine_wire = engine
        self._store = Store(engine, schema)
        self._saves_wire = saves  # of its own: a huge save must not hold up claims
        self._attention = asyncio.Event()  # something may be due, or there is room again
        saver = Saver(Store(saves, schema), worker)
        self._pool = LanePool(settings, saver.store)
        self._http = Http(settings)
        self._context = Context(
            settings=settings,
            database=engine.database,
            worker=worker,
            pool=self._pool,
            saver=saver,
            watch=SchemaWatch(control, schema, self._attention.set),
            http=self._http,
        )
        self._housekeeper = Housekeeper(settings, saver.store, schema)
        self._runs: dict[str, asyncio.Task[None]] = {}  # by instance
        self._on_signal: dict[str, Callable[[], None]] = {}  # by instance that is being driven
        self._held: Counter[str] = Counter()  # of these, by role
        self._capacity = settings.max_user_connections * settings.claim_ahead
        self._stop = asyncio.Event()
        self._suspicion = asyncio.Event()  # some instance may not be ours any more
        self._shown_idle = False
        self._http.on_change = self._room_changed
        control.on_notify = self._notified
        control.on_lost = engine.on_lost = saves.on_lost = self._attention.set

    @classmethod
    async def open(cls, settings: Settings, name: str) -> "Session":
        """Connect and register.

        Raises:
            ServerUnavailable, ConnectionLost: no server, or it went away.
            SchemaMismatch: the `df` schema is absent, or does not fit this program.
            InvalidWorkflow: the database has a setting that cannot be.
        """
        async with _answering(_OPENING):
            return await cls._open(settings, name)

    @classmethod
    async def _open(cls, settings: Settings, name: str) -> "Session":
        wires: list[Wire] = []
        try:
            control = await Wire.connect(worker_dsn(settings.dsn, "poll"))
            wires.append(control)
            settings = replace(settings, dsn=same_server(settings.dsn, control.pg))
            schema = await check_version(control)
            store = Store(control, schema)
            names = [item.name for item in numbers()]
            settings = settings.with_those_of_database(await store.settings(names))
            engine = await Wire.connect(worker_dsn(settings.dsn, "duroxide", durable=False))
            wires.append(engine)
            saves = await Wire.connect(worker_dsn(settings.dsn, "management"))
            wires.append(saves)
            worker = await store.register(name)
            await store.listen()
        except BaseException:
            for wire in wires:
                wire.close()
            raise
        log.info("worker %d is ready", worker)
        return cls(settings, control, engine, saves, worker, schema)

    def stop(self) -> None:
        """Claim nothing more; let go of every instance at its next step."""
        self._context.stopping = True
        self._stop.set()
        self._attention.set()

    async def run(self) -> None:
        """Work until stopped.

        Raises:
            ConnectionLost: a connection of the worker's own is gone, or others have
                declared this worker dead.
            SchemaMismatch: the `df` schema is gone, or another than it was.
            StoreError: a call failed.
        """
        try:
            async with asyncio.TaskGroup() as tasks:
                background = [
                    tasks.create_task(self._context.saver.run()),
                    tasks.create_task(self._keep_lease()),
                    tasks.create_task(self._take_over()),
                    tasks.create_task(self._drop_lost()),
                    tasks.create_task(self._housekeeper.run()),
                ]
                await self._claim_until_stopped()
                await self._let_runs_end()
                for task in background:
                    task.cancel()
            with suppress(TimeoutError):  # whoever comes next takes over what is left
                async with asyncio.timeout(_FAREWELL):
                    await self._control.unregister(self._context.worker)
        finally:
            self._context.saver.close()
            await self._cancel_runs()
            await self._http.close()
            self._pool.close()
            self._control_wire.close()
            self._engine_wire.close()
            self._saves_wire.close()

    async def _claim_until_stopped(self) -> None:
        pause = 0.0
        while not self._stop.is_set():
            self._fail_if_lost()
            self._attention.clear()
            if not self._has_room():  # claim in batches rather than one by one
                await self._attend(min(_CROWDED_PAUSE, self._settings.poll_interval))
                if not self._has_room() and not self._stop.is_set():
                    await self._claim_of_others()
                continue
            claims = await self._store.claim(self._context.worker, self._room())
            for instance in claims.instances:
                self._drive(instance)
            if claims.instances:
                if pause and self._shown_idle:
                    # Two claims in quick succession: the next one comes without being told.
                    await self._show_idle(False)
                pause = _SHORTEST_PAUSE
            pause = await self._pause(pause, claims)

    def _room(self) -> int:
        """How many more instances this worker may hold."""
        # Those that wait for somebody's open transaction, or for HTTP servers, must not keep
        # others out.
        waiting = min(self._context.saver.busy, _MOST_WAITING * self._capacity)
        requesting = min(self._http.under_way, self._settings.http_max_concurrent)
        return self._capacity - len(self._runs) + waiting + requesting

    def _has_room(self) -> bool:
        return self._room() >= self._capacity // 2

    def _room_changed(self) -> None:
        if self._room() == self._capacity - self._capacity // 2:
            self._attention.set()

    def _share(self) -> int:
        """How many each role may hold when another one comes to those that hold something."""
        return max(self._capacity // (len(self._held) + 1), 1)

    async def _claim_of_others(self) -> None:
        """Claim for roles that hold less than their share: what fills the room may be slow."""
        share = self._share()
        sated = [role for role, held in self._held.items() if held >= share]
        if sated:
            claims = await self._store.claim(self._context.worker, share, sated)
            for instance in claims.instances:
                self._drive(instance)

    async def _pause(self, pause: float, claims: Claims) -> float:
        """Wait before the next claim: briefly while there is work, else until told."""
        if claims.instances:
            await asyncio.sleep(_SHORTEST_PAUSE)
            return _SHORTEST_PAUSE
        if 0 < pause <= _LONGEST_PAUSE:
            await self._attend(pause)
            return pause * 2
        if not self._shown_idle:
            await self._show_idle(True)
            if self._shown_idle:
                return 0.0  # look once more: a start may have committed before it could see this
        pause = max(pause, _LONGEST_PAUSE)
        due = max(claims.next_due, _SHORTEST_PAUSE)
        await self._attend(min(pause, due, self._settings.poll_interval))
        return 0.0 if self._attention.is_set() else pause * 4

    async def _show_idle(self, idle: bool) -> None:
        if idle:
            self._shown_idle = await self._control.show_idle()
        else:
            self._shown_idle = False
            await self._control.show_busy()

    async def _attend(self, timeout: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._attention.wait()

    def _drive(self, instance: Claimed) -> None:
        run = Run(instance, self._context)
        task = self._runs[instance.id] = asyncio.create_task(run.drive())
        self._held[instance.role] += 1
        self._on_signal[instance.id] = run.look_for_signals
        task.add_done_callback(lambda task: self._run_ended(instance, task, run.parked_for))

    def _run_ended(self, claimed: Claimed, task: asyncio.Task[None], parked_for: float) -> None:
        if self._runs.get(claimed.id) is task:
            del self._runs[claimed.id], self._on_signal[claimed.id]
        self._held[claimed.role] -= 1
        held = self._held[claimed.role]
        if not held:
            del self._held[claimed.role]
        if held == self._share() // 2:
            self._attention.set()
        self._room_changed()
        if parked_for < self._settings.poll_interval:  # longer ones are found by polling
            asyncio.get_running_loop().call_later(parked_for, self._attention.set)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a run ended with an error", exc_info=error)
            # Not driven any more, and ours for ever otherwise.
            self._context.saver.save(released(claimed.id, claimed.attempts + 1))

    def _notified(self, payload: bytes) -> None:
        # Anybody may notify: a payload is a reason to look, never to believe.
        if payload.startswith(CANCELLED):
            self._suspicion.set()
        elif payload.startswith(SIGNALLED):
            instance = payload.removeprefix(SIGNALLED).decode("ascii", "replace")
            self._on_signal.get(instance, self._attention.set)()
        else:
            self._attention.set()

    def _drop(self, instance: str) -> None:
        """Stop a run, and its statement in the server; the instance is not ours any more."""
        if (task := self._runs.get(instance)) is not None:
            task.cancel()

    async def _let_runs_end(self) -> None:
        if self._runs:
            await asyncio.wait(self._runs.values(), timeout=self._settings.grace)

    async def _cancel_runs(self) -> None:
        runs = list(self._runs.values())
        for task in runs:
            task.cancel()
        await asyncio.gather(*runs, return_exceptions=True)

    async def _keep_lease(self) -> None:
        while True:
            await asyncio.sleep(self._settings.heartbeat_interval)
            async with _answering(max(self._settings.lease, _LEAST_PATIENCE)):
                await self._context.watch.check()
                alive = await self._control.heartbeat(self._context.worker)
            if not alive:
                raise ConnectionLost("other workers have declared this one dead")
            self._pool.close_idle()

    async def _take_over(self) -> None:
        # It may be a whole pause until the next look, and that still is to be within the lease.
        lease, pause = self._settings.lease, self._settings.take_over_interval
        silence = max(lease - pause, lease / 2)
        now = asyncio.get_running_loop().time
        thorough_at = now()
        while True:
            begun = now()
            thoroughly = begun >= thorough_at
            freed = await self._store.take_over(
                self._context.worker, silence, thoroughly=thoroughly
            )
            if thoroughly:  # a tenth of the time at most
                thorough_at = begun + max(pause, 10 * (now() - begun))
            if freed:
                log.info("took over %d instances of workers that are gone", freed)
                self._attention.set()
            await asyncio.sleep(pause)

    async def _drop_lost(self) -> None:
        """Stop runs whose instance was cancelled or taken over; at once when told of one."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._settings.take_over_interval):
                    await self._suspicion.wait()
            self._suspicion.clear()
            if runs := dict(self._runs):
                for instance in await self._store.lost(self._context.worker, list(runs)):
                    # Claimed anew meanwhile, it has another run, which is not lost.
                    if self._runs.get(instance) is runs[instance]:
                        self._drop(instance)
                await asyncio.sleep(_SHORTEST_PAUSE * 10)  # however many notifications come

    def _fail_if_lost(self) -> None:
        for wire in (self._control_wire, self._engine_wire, self._saves_wire):
            if wire.lost is not None:
                raise ConnectionLost(str(wire.lost))
        if self._context.watch.misfit is not None:
            raise self._context.watch.misfit


@asynccontextmanager
async def _answering(patience: float) -> AsyncIterator[None]:
    """Give up a server that is silent for longer, though its machine, or a proxy before it,
    acknowledges what it gets."""
    try:
        async with asyncio.timeout(patience):
            yield
    except TimeoutError:
        raise ConnectionLost(f"no answer within {patience:g} s") from None
