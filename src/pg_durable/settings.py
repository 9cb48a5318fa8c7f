"""Settings of a worker: defaults, then environment (`PG_DURABLE_<NAME>`), then flags."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from pg_durable.errors import InvalidWorkflow


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a worker behaves. Times are in seconds.

    Attributes:
        dsn: libpq connection string of the worker's own sessions; empty: libpq's defaults.
        max_user_connections: SQL steps running at the same time, one session each.
        claim_ahead: instances held per session, so that none waits for the next claim.
        poll_interval: how often an idle worker looks without being told.
        lease: a worker silent for longer is taken over.
        heartbeat_interval: how often a worker says that it lives.
        take_over_interval: how often it looks for dead ones.
        park_after: a wait with longer to go is handed back to the database.
        show_running_after: a step running for longer is shown as running.
        time_slice: how long one instance's steps may follow each other on one session.
        max_attempts: an instance whose steps keep losing their session fails after so many.
        grace: how long a stopping worker lets running steps finish.
        lane_max_age: a session is closed after this, so that changed settings of a role count.
        lane_idle: an unused session is closed after this.
        max_result_bytes: the largest result of one step, as JSON text.
        loop_min_interval: an iteration of a loop with neither a condition nor a wait takes this
            long at least.
        max_loop_iterations: a loop that has had so many fails; 0: loops may go on for ever.
        http_policy: where HTTP steps may go: none, public, or hosts and addresses; empty: as the
            database's setting pg_durable.http_policy says, and none without it.
        http_max_concurrent: HTTP requests at the same time.
        http_max_per_role: of which those of one role.
        http_max_timeout: the longest time that a request may ask for.
        http_max_request_bytes: the largest body sent.
        http_max_response_bytes: the largest body received, compressed or not.
        http_max_headers: headers of a request, and of a response.
        http_max_header_bytes: their size in all.
        http_proxy: URL of the proxy through which requests go.
        http_no_proxy: hosts that are called directly all the same, *.example.com among them.
        http_ca_bundle: file of certificates to trust besides the system's.
        http_client_certificate: file of the certificate to show to servers that ask for one.
        http_client_key: file of its key, unless it is in the same.
    """

    dsn: str = ""
    max_user_connections: int = 10
    claim_ahead: int = 8
    poll_interval: float = 1.0
    lease: float = 15.0
    heartbeat_interval: float = 5.0
    take_over_interval: float = 1.0
    park_after: float = 0.25
    show_running_after: float = 0.1
    time_slice: float = 0.05
    max_attempts: int = 20
    grace: float = 10.0
    lane_max_age: float = 60.0
    lane_idle: float = 30.0
    max_result_bytes: int = 64 * 1024 * 1024
    loop_min_interval: float = 1.0
    max_loop_iterations: int = 0
    http_policy: str = ""
    http_max_concurrent: int = 2000
    http_max_per_role: int = 1000
    http_max_timeout: float = 3600.0
    http_max_request_bytes: int = 16 * 1024 * 1024
    http_max_response_bytes: int = 16 * 1024 * 1024
    http_max_headers: int = 100
    http_max_header_bytes: int = 32 * 1024
    http_proxy: str = ""
    http_no_proxy: str = ""
    http_ca_bundle: str = ""
    http_client_certificate: str = ""
    http_client_key: str = ""

    @classmethod
    def load(
        cls, environment: Mapping[str, str] | None = None, **flags: str | float | None
    ) -> "Settings":
        """Read the environment, then let flags that are not None win.

        Raises:
            InvalidWorkflow: a value that is not a number, or out of its range.
        """
        environment = os.environ if environment is None else environment
        defaults = cls()
        values: dict[str, Any] = {}
        for item in fields(cls):
            given = flags.get(item.name)
            source = f"--{item.name.replace('_', '-')}"
            if given is None:
                source = f"PG_DURABLE_{item.name.upper()}"
                given = environment.get(source)
            if given is not None:
                values[item.name] = _convert(source, given, getattr(defaults, item.name))
        return replace(defaults, **values)


def _convert(source: str, given: str | float, default: str | float) -> str | float:
    kind = type(default)
    if kind is str:
        return str(given)
    try:
        value = kind(given)
    except ValueError:
        raise InvalidWorkflow(f"{source} is {given!r}, which is not a number.") from None
    assert isinstance(value, int | float)
    minimum = 1 if kind is int and default else 0
    if not minimum <= value < float("inf"):
        raise InvalidWorkflow(f"{source} is {given}; it must be at least {minimum}, and finite.")
    return value
