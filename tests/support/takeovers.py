"""How long a worker's instances stand still when it dies or freezes."""

import asyncio
import random
from typing import Any, NamedTuple

from support.database import Database
from support.waiting import until
from support.workers import WorkerProcess

# An endless loop of short steps: each worker that takes it over goes on at once.
_LOOP = "df.loop('insert into beats (instance) select ''{sys_instance_id}'' from pg_sleep(0.05)')"
SETTINGS: dict[str, Any] = {"max_user_connections": 16, "loop_min_interval": 0}


class StandStill(NamedTuple):
    """Seconds from the worker's end to the next commit of an instance that it held."""

    instance: str
    seconds: float


async def start_beating(db: Database, instances: int) -> None:
    """Start workflows that commit a step every few hundredths of a second, for ever."""
    await db.rows("create table beats (instance text)")
    await db.rows(f"select df.start({_LOOP}) from generate_series(1, {instances})")


async def started(db: Database, settings: dict[str, Any]) -> tuple[WorkerProcess, int]:
    """A worker that is ready, and its number."""
    known = [number for (number,) in await db.rows("select worker from df._worker_epoch")]
    process = await WorkerProcess(db.conninfo, **SETTINGS, **settings).start()

    async def registered() -> object:
        return await db.scalar(
            "select max(worker) from df._worker_epoch where worker <> all (%s)", known
        )

    await until(registered)
    return process, int(str(await registered()))


async def end_in_turn(
    db: Database, instances: int, rounds: int, *, frozen: bool = False, **settings: Any
) -> list[StandStill]:
    """Kill or freeze the worker that holds all instances, while another is idle; then that one,
    and so on. Returns how long each instance stood still, each time.
    """
    await start_beating(db, instances)
    victim, number = await started(db, settings)
    still: list[StandStill] = []
    zombies: list[WorkerProcess] = []
    for _ in range(rounds):
        await _until_all_beat(db, number, instances)
        heir, next_number = await started(db, settings)
        await asyncio.sleep(random.random())  # the random instant of the kill
        if frozen:
            victim.freeze()
            zombies.append(victim)
        else:
            await victim.kill()
        still += await _stand_stills(db, number)
        victim, number = heir, next_number
    for zombie in zombies:
        zombie.thaw()
    for worker in (*zombies, victim):
        await worker.stop()
    return still


async def _until_all_beat(db: Database, number: int, instances: int) -> None:
    """Wait until a worker holds all instances and has recorded a step of each."""
    begun = await db.scalar("select clock_timestamp()")

    async def beating() -> object:
        return await db.scalar(
            "select count(*) = %s from df.instances i where i.worker = %s and exists (select"
            " from df.nodes n where n.instance_id = i.id and n.updated_at > %s)",
            instances, number, begun,
        )  # fmt: skip

    await until(beating)


async def _stand_stills(db: Database, number: int) -> list[StandStill]:
    ended, held = await db.row(
        "select clock_timestamp(), array_agg(id::text) from df.instances where worker = %s", number
    )
    still: dict[str, float] = {}

    async def all_go_on() -> bool:
        # A row is written right before the commit of its step.
        for instance, seconds in await db.rows(
            "select n.instance_id::text, extract(epoch from min(n.updated_at) - %s)::float8"
            " from df.nodes n where n.instance_id = any (%s) and n.node_type = 'SQL'"
            " and n.status = 'completed' and n.updated_at > %s group by 1",
            ended, held, ended,
        ):  # fmt: skip
            still.setdefault(instance, seconds)
        return len(still) == len(held)

    await until(all_go_on, within=60)
    return [StandStill(*item) for item in still.items()]


def percentile(still: list[StandStill], share: float) -> float:
    """The time within which this share of the instances went on."""
    ordered = sorted(item.seconds for item in still)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]
