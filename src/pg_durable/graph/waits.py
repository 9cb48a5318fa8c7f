"""What a node waits for: a time, the next tick of a schedule, or a signal.

Times are seconds since 1970 by the server's clock. Nothing here looks at a clock: whoever asks
says what time it is.
"""

import json
import re
from datetime import UTC, datetime
from typing import NamedTuple, TypeAlias

from pg_durable.errors import InvalidWorkflow
from pg_durable.graph.cron import next_tick
from pg_durable.graph.json_text import quote, storable


class Sleep(NamedTuple):
    """A wait of so many seconds (a decimal number as written), or until an instant."""

    seconds: str | None
    until: str | None = None

    @property
    def takes_time(self) -> bool:
        """Whether it takes time again and again, in each iteration of a loop."""
        return self.seconds is not None and float(self.seconds) > 0

    def end(self, now: float) -> float | None:
        """When it ends if it begins now."""
        if self.seconds is not None:
            return now + float(self.seconds)
        return datetime.fromisoformat(self.until or "").timestamp()

    def result(self) -> str:
        """What it comes to."""
        if self.seconds is not None:
            return f'{{"slept":true,"seconds":{self.seconds}}}'
        return f'{{"slept":true,"until":{quote(self.until or "")}}}'


class Schedule(NamedTuple):
    """A wait for the next tick of a cron expression, in a time zone (None: UTC)."""

    cron: str
    zone: str | None

    @property
    def takes_time(self) -> bool:
        """See `Sleep`."""
        return True

    def end(self, now: float) -> float:
        """When the next tick is, strictly after now.

        Raises:
            InvalidWorkflow: there is none any more.
        """
        tick = next_tick(self.cron, self.zone, datetime.fromtimestamp(now, UTC))
        if tick is None:
            raise InvalidWorkflow(f"No upcoming schedule found for '{self.cron}'")
        return tick.timestamp()

    def result(self) -> str:
        """What it comes to."""
        return '{"scheduled":true}'


class SignalWait(NamedTuple):
    """A wait for a signal of a name, for so many seconds at most (None: for ever)."""

    signal: str
    timeout: int | None

    @property
    def takes_time(self) -> bool:
        """See `Sleep`."""
        return True

    def end(self, now: float) -> float | None:
        """When it times out if it begins now; None: never."""
        return None if self.timeout is None else now + self.timeout

    def result(self) -> str:
        """What it comes to when no signal came in time."""
        return f'{{"signal_name":{quote(self.signal)},"timed_out":true,"data":null}}'

    def received(self, data: str) -> str:
        """What it comes to with a signal that carries this JSON text."""
        return f'{{"signal_name":{quote(self.signal)},"timed_out":false,"data":{data}}}'


Wait: TypeAlias = Sleep | Schedule | SignalWait


def read_wait(node_type: str, node_id: str, query: str | None) -> Wait:
    """Read the configuration of a SLEEP, WAIT_SCHEDULE or SIGNAL node.

    Raises:
        InvalidWorkflow: it is not what this type of node has.
    """
    text = query or ""
    if node_type == "SLEEP" and _DECIMAL.fullmatch(text):
        return Sleep(text)
    try:
        config = json.loads(text)
    except (ValueError, RecursionError):
        config = None
    match node_type, config:
        case "SLEEP", {"until": str(until)} if _is_instant(until):
            return Sleep(None, until)
        case "WAIT_SCHEDULE", {"cron_expr": str(cron)}:
            zone = config.get("time_zone")
            if zone is None or isinstance(zone, str):
                return Schedule(cron, zone)
        case "SIGNAL", {"signal_name": str(name)} if name and storable(name) == name:
            timeout = config.get("timeout_seconds")
            if timeout is None or (isinstance(timeout, int) and 0 < timeout < 2**31):
                return SignalWait(name, timeout)
    raise InvalidWorkflow(f"{node_type} node {node_id}: {text[:40]!r} is no configuration for it.")


_DECIMAL = re.compile(r"[0-9]{1,19}(?:\.[0-9]{1,6})?", re.ASCII)


def _is_instant(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False
