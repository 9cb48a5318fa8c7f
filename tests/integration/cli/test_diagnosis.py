"""What doctor makes of what no database of the tests can be brought to show."""

from dataclasses import replace
from datetime import timedelta

import pytest

from pg_durable import __version__
from pg_durable.cli.diagnosis import Check, diagnose
from pg_durable.client import Engine, Health, Held, SeenRole, SeenWorker, Server

SERVER = Server(
    version="18.6", number=180006, database="shop", encoding="UTF8", role="postgres"
)  # fmt: skip
WORKER = SeenWorker(worker=1, name="host:1", silent_for=timedelta(seconds=2), connected=True)
ENGINE = Engine(
    version=__version__, sees_all=True, workers=[WORKER], statuses={"running": 3}, held=[],
    stuck=[], given_back=[], roles=[], loopback="dblink",
)  # fmt: skip


def check(name: str, engine: Engine = ENGINE, server: Server = SERVER) -> Check:
    (found,) = (c for c in diagnose(Health(server=server, engine=engine)) if c.name == name)
    return found


@pytest.mark.parametrize(
    ("server", "said"),
    [
        (replace(SERVER, version="13.2", number=130002), "PostgreSQL 14 or newer"),
        (replace(SERVER, encoding="LATIN1"), "LATIN1; pg_durable needs UTF8"),
    ],
)
def test_a_server_that_cannot_be_used_is_a_problem(server: Server, said: str) -> None:
    found = check("server", server=server)

    assert found.state == "problem"
    assert said in found.said


@pytest.mark.parametrize(
    ("workers", "held", "state"),
    [
        ([WORKER], Held(worker=1, number=3, longest=None), "ok"),
        ([WORKER], Held(worker=None, number=3, longest=timedelta(seconds=29)), "ok"),
        ([WORKER], Held(worker=None, number=3, longest=timedelta(seconds=31)), "warning"),
        ([], Held(worker=None, number=3, longest=timedelta(seconds=29)), "ok"),
        ([], Held(worker=None, number=3, longest=timedelta(seconds=31)), "problem"),
        ([], Held(worker=7, number=3, longest=None), "problem"),  # nobody knows since when
    ],
)
def test_what_is_due_for_long_is_a_warning_and_without_a_worker_a_problem(
    workers: list[SeenWorker], held: Held, state: str
) -> None:
    found = check("due", replace(ENGINE, workers=workers, held=[held]))

    assert found.state == state


def test_of_many_stuck_instances_the_first_are_named() -> None:
    ids = [f"{number:08x}" for number in range(12)]

    found = check("stuck", replace(ENGINE, stuck=ids))

    assert found.said.startswith("12 instances that nothing will move on: 00000000; 00000001;")
    assert found.said.endswith("00000009; and 2 more")
    assert found.facts["instances"] == ids


def test_names_in_advice_are_quoted() -> None:
    role = SeenRole(role="al'i\"ce", database="app", number=1, trouble="usage")

    may_not_use = check("roles", replace(ENGINE, roles=[role]))
    may_not_log_in = check("roles", replace(ENGINE, roles=[replace(role, trouble="login")]))

    assert may_not_use.advice == "To do: select df.grant_usage('al''i\"ce')"
    assert may_not_log_in.advice == 'To do: alter role "al\'i""ce" login'
