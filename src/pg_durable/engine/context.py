"""What all runs of a worker share."""

from dataclasses import dataclass

from pg_durable.engine.saver import Saver
from pg_durable.engine.watch import SchemaWatch
from pg_durable.lanes.pool import LanePool
from pg_durable.settings import Settings


@dataclass(slots=True)
class Context:
    """A session's settings, database, number, sessions of roles, saver and watch over the
    schema, and whether it is ending."""

    settings: Settings
    database: str
    worker: int
    pool: LanePool
    saver: Saver
    watch: SchemaWatch
    stopping: bool = False
