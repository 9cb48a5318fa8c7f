"""One registration of a worker with the database, from its first claim to its last.

Everything a session knows can be thrown away: when a connection of its own is lost, the
session ends, its instances become due again, and the worker opens a new one.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

from pg_durable.engine.claiming import Claiming
from pg_durable.engine.context import Context
from pg_durable.engine.housekeeping import Housekeeper
from pg_durable.engine.requests import Http
from pg_durable.engine.runs import Runs
from pg_durable.engine.saver import Saver
from pg_durable.engine.watch import SchemaWatch
from pg_durable.lanes.pool import LanePool
from pg_durable.schema import check_version
from pg_durable.settings import Settings, numbers
from pg_durable.store import CANCELLED, SIGNALLED, Store, role_of_due
from pg_durable.wire import ConnectionLost, Wire
from pg_durable.wire.dsn import same_server, worker_dsn

log = logging.getLogger(__name__)

_FAREWELL = 5.0  # seconds that giving back what is held may take
_AFTER_A_LOOK = 0.01  # seconds until the next look for runs that are lost, whoever notifies
_OPENING = 60.0  # seconds after which a server that lets us in must have answered
_LEAST_PATIENCE = 5.0  # seconds for an answer to a heartbeat, however short the lease


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
        self._runs = Runs(self._context, self._attention)
        self._claiming = Claiming(
            self._context, self._runs, self._store, self._control, self._attention
        )
        self._suspicion = asyncio.Event()  # some instance may not be ours any more
        engine.on_notify = self._notified
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
            await Store(engine, schema).listen()
        except BaseException:
            for wire in wires:
                wire.close()
            raise
        log.info("worker %d is ready", worker)
        return cls(settings, control, engine, saves, worker, schema)

    def stop(self) -> None:
        """Claim nothing more; let go of every instance at its next step."""
        self._context.stopping = True
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
                await self._runs.let_end()
                for task in background:
                    task.cancel()
            with suppress(TimeoutError):  # whoever comes next takes over what is left
                async with asyncio.timeout(_FAREWELL):
                    await self._control.unregister(self._context.worker)
        finally:
            self._context.saver.close()
            await self._runs.cancel()
            await self._http.close()
            self._pool.close()
            self._control_wire.close()
            self._engine_wire.close()
            self._saves_wire.close()

    async def _claim_until_stopped(self) -> None:
        while not self._context.stopping:
            self._fail_if_lost()
            await self._claiming.claim()

    def _notified(self, payload: bytes) -> None:
        # Anybody may notify: a payload is a reason to look, never to believe.
        if payload.startswith(CANCELLED):
            self._suspicion.set()
        elif payload.startswith(SIGNALLED):
            self._runs.signalled(payload.removeprefix(SIGNALLED).decode("ascii", "replace"))
        else:
            self._claiming.told(role_of_due(payload))

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
            if tasks := self._runs.tasks():
                for instance in await self._store.lost(self._context.worker, list(tasks)):
                    self._runs.drop(instance, tasks[instance])
                await asyncio.sleep(_AFTER_A_LOOK)

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
