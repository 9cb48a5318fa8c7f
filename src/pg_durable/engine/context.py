"""What all runs of a worker share."""

from dataclasses import dataclass

from pg_durable.engine.requests import Http
from pg_durable.engine.saver import Saver
from pg_durable.lanes.pool import LanePool
from pg_durable.settings import Settings


@dataclass(slots=True)
class Context:
    """A session's settings, number, sessions of roles, saver, HTTP client; whether it is ending."""

    settings: Settings
    worker: int
    pool: LanePool
    saver: Saver
    http: Http
    stopping: bool = False
