"""What `pg-durable doctor` makes of what it sees: a check each, with what to do."""

import enum
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import Any

from pg_durable import __version__
from pg_durable.cli.access import identifier, literal
from pg_durable.cli.output import show_duration
from pg_durable.client import Engine, Health, SeenWorker, Server
from pg_durable.errors import PgDurableError
from pg_durable.schema import OLDEST_SERVER

_PATIENCE = timedelta(seconds=30)  # after it, what is due or silent is worth a word
_NAMED = 10  # things named in one line
_WAKE = "update df.instances set due_at = now() where worker is null"
_START_ONE = "Start one: pg-durable worker"


class State(enum.StrEnum):
    """What came of a check."""

    ok = enum.auto()
    warning = enum.auto()
    problem = enum.auto()


@dataclass(frozen=True, slots=True)
class Check:
    """One finding: what there is, what to do about it, and the same as data.

    `lines` are to be put into files, or run, as they are.
    """

    name: str
    state: State
    said: str
    advice: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    lines: Sequence[str] = ()


def diagnose(health: Health) -> list[Check]:
    """Judge all that was seen; without a schema that fits there is little to see."""
    engine = health.engine
    if engine is None:
        return [_server(health.server)]
    if isinstance(engine, PgDurableError):
        return [_server(health.server), Check("schema", State.problem, engine.message, engine.hint)]
    return [
        _server(health.server),
        _schema(engine),
        _workers(engine),
        _instances(engine, health.server.role),
        _due(engine),
        _stuck(engine),
        _given_back(engine),
        _roles(engine),
        _superusers(engine, health.server.database),
        _loopback(engine),
    ]


def _server(server: Server) -> Check:
    facts = asdict(server)
    said = f"PostgreSQL {server.version}, database {server.database} in {server.encoding}"
    if server.number < OLDEST_SERVER:
        said += "; pg_durable needs PostgreSQL 14 or newer"
        return Check("server", State.problem, said, "Upgrade PostgreSQL.", facts)
    if server.encoding != "UTF8":
        said += "; pg_durable needs UTF8"
        advice = "Create another: create database … encoding 'UTF8' template template0"
        return Check("server", State.problem, said, advice, facts)
    return Check("server", State.ok, said, facts=facts)


def _schema(engine: Engine) -> Check:
    facts = {"version": engine.version, "program": __version__}
    said = f"df of pg_durable {engine.version}"
    if engine.version == __version__:
        return Check("schema", State.ok, said, facts=facts)
    said += f", while this program is {__version__}"
    advice = "Bring up to date what is older: pg-durable install, or pip install -U pg-durable"
    return Check("schema", State.warning, said, advice, facts)


def _workers(engine: Engine) -> Check:
    alive = _alive(engine)
    facts = {"workers": [{**asdict(w), "alive": w in alive} for w in engine.workers]}
    silent = [w for w in engine.workers if w.connected and w not in alive]
    gone = [w for w in engine.workers if not w.connected]
    said = f"{len(alive)} alive: {listed([_named(w) for w in alive])}" if alive else "none alive"
    if silent:
        said += f"; connected, yet silent: {listed([_named(w) for w in silent])}"
    if gone:
        said += f"; gone: {listed([_named(w) for w in gone])}"
    if silent:
        advice = "End a silent one that hangs: another takes over what it held."
        return Check("workers", State.warning, said, advice, facts)
    if not alive:
        return Check("workers", State.warning, said, _START_ONE, facts)
    return Check("workers", State.ok, said, facts=facts)


def _instances(engine: Engine, role: str) -> Check:
    order = ("pending", "running", "completed", "failed", "cancelled")
    counts = {status: engine.statuses.get(status, 0) for status in order}
    said = ", ".join(f"{n} {status}" for status, n in counts.items() if n) or "none"
    if not engine.sees_all:
        said += f" (of role {role}; it may not see those of others)"
    facts: dict[str, Any] = {"by_status": counts, "sees_all": engine.sees_all}
    return Check("instances", State.ok, said, facts=facts)


def _due(engine: Engine) -> Check:
    """What waits for a worker: what is due, and what a worker holds that is not alive."""
    alive = _alive(engine)
    silences = {w.worker: w.silent_for for w in engine.workers}
    working = {w.worker for w in alive}
    waiting = [h for h in engine.held if h.worker not in working]
    ages = [h.longest if h.worker is None else silences.get(h.worker) for h in waiting]
    number = sum(h.number for h in waiting)
    left = sum(h.number for h in waiting if h.worker is not None)
    known = [age for age in ages if age is not None]
    longest = max(known, default=None)
    late = longest is not None and longest > _PATIENCE
    facts = {"due": number, "left_behind": left, "longest": longest}
    if not number:
        return Check("due", State.ok, "nothing waits for a worker", facts=facts)

    said = f"{number} due"
    if left:
        some = "" if left == number else f"{left} of them "
        said += f", {some}left behind by a worker that is not alive"
    if longest is not None:
        said += f"; the oldest for {show_duration(longest)}"
    if not alive and (late or len(known) < len(ages)):
        return Check("due", State.problem, f"{said}; no worker is alive", _START_ONE, facts)
    if late:
        advice = "Run more workers, or more steps at once in each: --max-user-connections"
        return Check("due", State.warning, said, advice, facts)
    return Check("due", State.ok, said, facts=facts)


def _stuck(engine: Engine) -> Check:
    ids = list(engine.stuck)
    facts = {"instances": ids}
    if ids:
        said = f"{_count(len(ids))} that nothing will move on: {listed(ids)}"
        places = ", ".join(f"'{id_}'" for id_ in ids[:_NAMED])
        advice = (
            "This is a fault of pg_durable; please report it. To set them going, as the owner of"
            f" df: {_WAKE} and id in ({places});"
        )
        return Check("stuck", State.problem, said, advice, facts)
    unfinished = sum(engine.statuses.get(status, 0) for status in ("pending", "running"))
    said = "none"
    if unfinished:
        said += f"; what is unfinished ({unfinished}) is in work, due, or waits for something"
    return Check("stuck", State.ok, said, facts=facts)


def _given_back(engine: Engine) -> Check:
    facts = {"instances": [asdict(given) for given in engine.given_back]}
    if not engine.given_back:
        return Check("retries", State.ok, "no instance is tried again after an outage", facts=facts)
    names = listed([f"{g.id} (given back {_count(g.attempts, 'time')})" for g in engine.given_back])
    said = f"{_count(len(engine.given_back))} tried again after an outage: {names}"
    advice = "A worker with --verbose logs why their sessions are lost, or cannot be opened."
    return Check("retries", State.warning, said, advice, facts)


_TROUBLES = {
    "gone": ("the role with OID {oid} is gone", "cancel its instances (pg-durable list)"),
    "login": ("role {role} may not log in", "alter role {role} login"),
    "database": (
        "role {role} has steps in database {database}, which is gone or takes no connections",
        "create it anew, or cancel these instances (pg-durable list)",
    ),
    "connect": (
        "role {role} may not connect to database {database}",
        "grant connect on database {database} to {role}",
    ),
    "usage": ("role {role} may not use df", "select df.grant_usage({literal})"),
}


def _roles(engine: Engine) -> Check:
    troubled = [role for role in engine.roles if role.trouble in _TROUBLES]
    facts = {"roles": [asdict(role) for role in troubled]}
    if not troubled:
        said = "each role with unfinished instances may log in and run their steps"
        return Check("roles", State.ok, said, facts=facts)
    found, cures = [], []
    for role in troubled:
        what, cure = _TROUBLES[role.trouble or ""]
        names = {
            "oid": role.role,
            "role": identifier(role.role),
            "literal": literal(role.role),
            "database": identifier(role.database),
        }
        found.append(f"{what.format(**names)} ({_count(role.number)} unfinished)")
        cures.append(cure.format(**names))
    return Check("roles", State.problem, listed(found), f"To do: {listed(cures)}", facts)


def _superusers(engine: Engine, database: str) -> Check:
    refused = [role for role in engine.roles if role.trouble == "superuser"]
    facts = {"roles": [asdict(role) for role in refused]}
    if not refused:
        said = "no unfinished instance will be refused because its role is a superuser"
        return Check("superusers", State.ok, said, facts=facts)
    names = listed([f"{_count(role.number)} of {role.role}" for role in refused])
    said = f"{names} will be refused: pg_durable.enable_superuser_instances is off"
    advice = (
        f"To allow them: alter database {identifier(database)}"
        " set pg_durable.enable_superuser_instances = on; and start the workers anew."
    )
    return Check("superusers", State.problem, said, advice, facts)


def _loopback(engine: Engine) -> Check:
    said = {
        "background worker": "a background worker, so transaction_mode => 'new' is available",
        "dblink": "dblink is installed, so transaction_mode => 'new' is available",
        None: "no preloaded library and no dblink; only transaction_mode => 'new' needs one",
    }[engine.loopback]
    return Check("loopback", State.ok, said, facts={"over": engine.loopback})


def _alive(engine: Engine) -> list[SeenWorker]:
    return [w for w in engine.workers if w.connected and (w.silent_for or timedelta()) <= _PATIENCE]


def _named(worker: SeenWorker) -> str:
    name = f"{worker.worker} ({worker.name})" if worker.name else str(worker.worker)
    if worker.silent_for is None:
        return name
    return f"{name}, heartbeat {show_duration(worker.silent_for)} ago"


def _count(number: int, what: str = "instance") -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def listed(items: Sequence[str]) -> str:
    """Items in one line, the first few if there are many."""
    more = f"; and {len(items) - _NAMED} more" if len(items) > _NAMED else ""
    return "; ".join(items[:_NAMED]) + more
