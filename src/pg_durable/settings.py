"""Settings of a worker: flags, then environment, then the database's own, then defaults.

The table is the class below: one line a setting, with its default, its range and its meaning.
The page docs/settings.md is compared with it by a test.
"""

import os
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields, replace
from typing import Any, NamedTuple

from pg_durable.errors import InvalidWorkflow

_MOST = 2**31 - 1
_DAY = 86_400.0

# The words that there are for `identity`.
_IDENTITIES = ("login", "set_role")


class About(NamedTuple):
    """What holds for a number's values, and what it means."""

    least: float
    most: float
    means: str


def _setting(default: float, least: float, most: float, means: str) -> Any:
    return field(default=default, metadata={"about": About(least, most, means)})


def _text(means: str) -> Any:
    return field(default="", metadata={"means": means})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a worker behaves. Whole numbers count things; the others are seconds.

    Attributes:
        dsn: libpq connection string of the worker's own sessions; empty: libpq's defaults.
        identity: how steps get the rights of their role: `login` as it, or log in as the worker
            and `set_role`. From no database: its owner may not weaken it.
        http_policy: where HTTP steps may go. Empty: as the database's setting says, which is read
            for each request, so that a change counts at once.
        given: names of the settings that flags or the environment have given.
    """

    dsn: str = ""
    identity: str = "login"
    # fmt: off
    max_user_connections: int = _setting(10, 1, 1000,
        "SQL steps at the same time, one session each")
    max_connections_per_role: int = _setting(0, 0, 1000,
        "those of one role; 0: all of them, where no other role waits")
    execution_acquire_timeout: float = _setting(0.0, 0.0, 3600.0,
        "a step that waits for a session for longer fails; 0: it waits as long as it takes")
    max_management_connections: int = _setting(6, 1, 1000,
        "sessions for recording progress and for housekeeping; it never needs more than 2")
    max_duroxide_connections: int = _setting(10, 1, 1000,
        "sessions for claiming and for hearing of work; it needs 2, and does not start with 1")
    retention_days: int = _setting(30, 0, 36_500,
        "ended instances are removed after so many days; 0: at the next look")
    reconcile_interval: float = _setting(3600.0, 0.0, _DAY,
        "how often it looks for instances to remove; 0: never")
    claim_ahead: int = _setting(8, 1, 1000,
        "instances held for each session of a step, so that none waits for the next claim")
    poll_interval: float = _setting(1.0, 0.0, 3600.0,
        "how often an idle worker looks without being told")
    lease: float = _setting(15.0, 0.0, _DAY,
        "within this, a worker that falls silent is taken over")
    heartbeat_interval: float = _setting(5.0, 0.0, _DAY,
        "how often a worker says that it lives")
    take_over_interval: float = _setting(1.0, 0.0, _DAY,
        "how often it looks for dead ones")
    park_after: float = _setting(0.25, 0.0, _DAY,
        "a wait with longer to go is handed back to the database")
    show_running_after: float = _setting(0.1, 0.0, _DAY,
        "a step running for longer is shown as running")
    time_slice: float = _setting(0.05, 0.0, _DAY,
        "how long steps of one instance, or one role, may follow each other on one session")
    max_attempts: int = _setting(20, 1, _MOST,
        "an instance whose steps keep losing their session fails after so many tries")
    grace: float = _setting(10.0, 0.0, _DAY,
        "how long a stopping worker lets running steps finish")
    lane_max_age: float = _setting(60.0, 0.0, _DAY,
        "a session is closed after this, so that changed settings of a role count")
    lane_idle: float = _setting(30.0, 0.0, _DAY,
        "an unused session is closed after this")
    max_result_bytes: int = _setting(64 * 1024 * 1024, 1, _MOST,
        "the largest result of one step, as JSON text")
    loop_min_interval: float = _setting(1.0, 0.0, _DAY,
        "an iteration of a loop with neither a condition nor a wait takes this long at least")
    max_loop_iterations: int = _setting(0, 0, _MOST,
        "a loop that has had so many fails; 0: loops may go on for ever")
    http_max_concurrent: int = _setting(2000, 1, 20_000,
        "HTTP requests at the same time")
    http_max_per_role: int = _setting(1000, 1, 20_000,
        "those of one role")
    http_max_timeout: float = _setting(3600.0, 1, _DAY,
        "the longest time that a request may ask for")
    http_max_request_bytes: int = _setting(16 * 1024 * 1024, 0, _MOST,
        "the largest body sent")
    http_max_response_bytes: int = _setting(16 * 1024 * 1024, 0, _MOST,
        "the largest body received, compressed or not")
    http_max_headers: int = _setting(100, 1, 10_000,
        "headers of a request, and of a response")
    http_max_header_bytes: int = _setting(32 * 1024, 1, 16 * 1024 * 1024,
        "their size in all")
    http_policy: str = _text(
        "[where HTTP steps may go](http.md#who-may-call-where)")
    http_proxy: str = _text(
        "URL of the proxy through which requests go")
    http_no_proxy: str = _text(
        "hosts and addresses that are called directly all the same")
    http_ca_bundle: str = _text(
        "file of certificates to trust besides the system's")
    http_client_certificate: str = _text(
        "file of the certificate to show to servers that ask for one")
    http_client_key: str = _text(
        "file of its key, unless it is in the same")
    given: frozenset[str] = frozenset()
    # fmt: on

    @classmethod
    def load(
        cls, environment: Mapping[str, str] | None = None, **flags: str | float | None
    ) -> "Settings":
        """Read the environment, then let flags that are not None win.

        Raises:
            InvalidWorkflow: a value that is not a number, out of its range, or none of the
                words that there are.
        """
        environment = os.environ if environment is None else environment
        values: dict[str, Any] = {}
        if (dsn := flags.get("dsn") or environment.get("PG_DURABLE_DSN")) is not None:
            values["dsn"] = dsn
        source, word = _given("identity", flags, environment)
        if word is not None:
            values["identity"] = _identity(source, word)
        for number in numbers():
            source, value = _given(number.name, flags, environment)
            if value is not None:
                values[number.name] = _convert(source, value, number)
        for text in texts():
            _, value = _given(text.name, flags, environment)
            if value is not None:
                values[text.name] = str(value)
        return cls(**values, given=frozenset(values))._checked()

    def with_those_of_database(self, values: Mapping[str, str | None]) -> "Settings":
        """What `pg_durable.<name>` is on the server, where neither flag nor environment says it.

        Raises:
            InvalidWorkflow: a value that is not a number, or out of its range.
        """
        converted: dict[str, Any] = {
            item.name: _convert(f"The database's setting pg_durable.{item.name}", value, item)
            for item in numbers()
            if item.name not in self.given and (value := values.get(item.name))
        }
        return replace(self, **converted)._checked()

    def _checked(self) -> "Settings":
        if self.max_duroxide_connections < 2:
            raise InvalidWorkflow(
                f"max_duroxide_connections is {self.max_duroxide_connections}, so the worker"
                " cannot start: it needs 2, one to claim work and one to hear of it."
            )
        return self


def numbers() -> "list[Field[float]]":
    """The fields of the settings that are numbers, in the order of the table."""
    return [item for item in fields(Settings) if "about" in item.metadata]


def texts() -> "list[Field[str]]":
    """The fields of the settings that are texts, in the order of the table. Those of the database
    do not count: they say where a worker may go, and which of its machine's files it uses."""
    return [item for item in fields(Settings) if "means" in item.metadata]


def _given(
    name: str, flags: Mapping[str, str | float | None], environment: Mapping[str, str]
) -> tuple[str, str | float | None]:
    """What a setting is by its flag or else by the environment; which of the two says so."""
    if (value := flags.get(name)) is not None:
        return f"--{name.replace('_', '-')}", value
    source = f"PG_DURABLE_{name.upper()}"
    return source, environment.get(source)


def _convert(source: str, given: str | float, item: "Field[float]") -> float:
    about: About = item.metadata["about"]
    whole = isinstance(item.default, int)
    try:
        value = int(given) if whole else float(given)
    except ValueError:
        kind = "a whole number" if whole else "a number"
        raise InvalidWorkflow(
            f"{source} is {given!r}, which is not {kind} {_range(about)}."
        ) from None
    if not about.least <= value <= about.most:
        raise InvalidWorkflow(f"{source} is {given}; it must be {_range(about)}.")
    return value


def _identity(source: str, given: object) -> str:
    if given not in _IDENTITIES:
        raise InvalidWorkflow(f"{source} is {given!r}; it must be {' or '.join(_IDENTITIES)}.")
    return str(given)


def _range(about: About) -> str:
    return f"from {about.least:.0f} to {about.most:.0f}"
