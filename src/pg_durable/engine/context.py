"""What all runs of a worker share."""

from dataclasses import dataclass, field

from pg_durable.engine.requests import Http
from pg_durable.engine.saver import Saver
from pg_durable.engine.watch import SchemaWatch
from pg_durable.lanes.pool import LanePool
from pg_durable.settings import Settings


@dataclass(slots=True)
class Context:
    """A session's settings, database, number, sessions of roles, saver, watch over the schema and
    HTTP client, and whether it is ending."""

    settings: Settings
    database: str
    worker: int
    pool: LanePool
    saver: Saver
    watch: SchemaWatch
    http: Http
    stopping: bool = False
    # Of instances that could not be driven through a fault of theirs or ours: how often in a row.
    faults: dict[str, int] = field(default_factory=dict)
