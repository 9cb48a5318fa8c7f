"""Instances whose rows cannot be walked fail alone, at once, and say why."""

import contextlib
import re
import time

import psycopg
from hypothesis import given
from hypothesis import strategies as st

from support.fuzz.poison import GRAPH, POISONS
from support.fuzz.profile import examples
from support.fuzz.served import NEIGHBOUR, USER, Served
from support.waiting import DEADLINE

# Values for the columns of the engine, of which domains refuse some.
_TEXTS = st.sampled_from(
    [
        *("null", "''", "'null'", "'[]'", "'{}'", "'0'", "'-1'", "'\"x\"'", "repeat('[', 2000)"),
        *("repeat('x', 100000)", r"""'"\ud800"'""", r"""'{"a":"\u0000"}'""", "E'\\x01'"),
        *("""'{"condition_node":"00000000"}'""", """'{"extra_nodes":["00000000"]}'"""),
        *("""'{"signal_name":"s"}'""", """'{"until":"2000-01-01T00:00:00Z"}'"""),
        *("""'{"cron_expr":"* * * * *"}'""", """'{"break_value":null}'"""),
        *("""'{"results":{},"columns":{}}'""", """'{"columns":["a"]}'""", "'1e999'"),
    ]
)
_NUMBERS = st.sampled_from(["null", "0", "1", "2", "-1", "2147483647", "-2147483648"])
_TIMES = st.sampled_from(
    ["null", "'infinity'", "'-infinity'", "now()", "'4714-11-24 BC'", "'294276-12-31'"]
)
_NODES = st.sampled_from(
    [
        "null",
        "id",
        "'ffffffff'",
        "(select root_node from df.instances i where i.id = instance_id)",
        "(select min(o.id) from df.nodes o where o.instance_id = nodes.instance_id)",
    ]
)
_TYPES = st.sampled_from(
    ["SQL", "THEN", "IF", "JOIN", "LOOP", "BREAK", "RACE", "SLEEP", "WAIT_SCHEDULE", "HTTP",
     "HTTP_MULTIPART", "SIGNAL", "MAGIC"]
)  # fmt: skip
_STATUSES = st.sampled_from(["null", "'pending'", "'running'", "'completed'", "'failed'", "'odd'"])
_COLUMNS: dict[str, st.SearchStrategy[str]] = {
    "node_type": _TYPES.map("'{}'".format),
    "left_node": _NODES,
    "right_node": _NODES,
    "status": _STATUSES,
    **dict.fromkeys(("query", "result_name"), _TEXTS),
    **dict.fromkeys(("result", "names"), _TEXTS.map("({})::text::json".format)),
    "status_details": _TEXTS.map("({})::text::jsonb".format),
    **dict.fromkeys(
        ("generation", "stopped_through", "entered_in", "first_iteration", "iteration"), _NUMBERS
    ),
    "due_at": _TIMES,
}
_CHANGES = st.sampled_from(sorted(_COLUMNS)).flatmap(
    lambda column: st.tuples(st.just(column), _COLUMNS[column], st.integers(0, 11))
)
_FORGERIES = st.lists(st.lists(_CHANGES, min_size=1, max_size=3), min_size=10, max_size=10)


def _start(owner: "psycopg.Connection", role: str, workflow: str) -> str:
    owner.execute(f"set local role {role}")
    row = owner.execute(f"select df.start({workflow})").fetchone()
    owner.execute("reset role")
    assert row is not None
    return str(row[0])


def test_poisoned_instances_fail_alone_and_say_what_is_wrong(world: Served) -> None:
    poisoned = {}
    healthy = []
    world.user.execute("select df.setvar('x', 'y')")
    with world.owner.transaction():  # so that all are claimed together
        for name, (poison, _) in POISONS.items():
            poisoned[name] = _start(world.owner, USER, GRAPH)
            world.owner.execute(poison.format(i=f"'{poisoned[name]}'"))
            healthy.append(_start(world.owner, USER, GRAPH))
            healthy.append(_start(world.owner, NEIGHBOUR, GRAPH.replace("{x}", "x")))

    ends = world.outcomes([*poisoned.values(), *healthy])

    assert {name: ends[id_] for name, id_ in poisoned.items()} == {
        name: _Like(said) for name, (_, said) in POISONS.items()
    }
    assert {ends[id_][0] for id_ in healthy} == {"completed"}
    world.assert_serves_others()


class _Like:
    """A status and an output as they are told of in a list of poisons."""

    def __init__(self, said: str) -> None:
        self._said = said

    def __eq__(self, end: object) -> bool:
        assert isinstance(end, list)
        if not self._said:
            return end[0] in ("completed", "failed")
        return end[0] == "failed" and re.search(self._said, end[1]) is not None

    def __hash__(self) -> int:
        return hash(self._said)

    def __repr__(self) -> str:
        return f"<failed: {self._said}>" if self._said else "<ended>"


def test_the_largest_graph_with_a_circle_fails_and_can_be_looked_at(world: Served) -> None:
    with world.owner.transaction():
        workflow = "df.race(variadic array_fill('select 1'::text, array[4096]))"
        looped = _start(world.owner, USER, workflow)
        world.owner.execute(
            "update df.nodes set right_node = (select root_node from df.instances where id = %s)"
            " where instance_id = %s and node_type = 'RACE'",
            (looped, looped),
        )
    nodes = world.scalar("select count(*) from df.nodes where instance_id = %s", looped)

    end = world.outcomes([looped])[looped]
    world.user.execute("set statement_timeout = '60s'")
    seen = world.scalar("select count(*) from df.instance_nodes(%s)", looped, by=world.user)
    drawn = world.scalar("select df.explain(%s)", looped, by=world.user)

    assert nodes == 8191
    assert end[0] == "failed"
    assert "more than one parent" in end[1]
    assert seen >= nodes
    assert drawn
    world.assert_serves_others()


def test_a_circle_that_no_worker_has_seen_can_be_cancelled(world: Served) -> None:
    with world.owner.transaction():
        looped = _start(world.owner, USER, "'select 1' & 'select 2'")
        world.owner.execute(
            "update df.nodes set left_node = id, right_node = id"
            " where instance_id = %s and node_type = 'JOIN'",
            (looped,),
        )
        world.owner.execute("set local statement_timeout = '60s'")
        world.owner.execute("select df.cancel(%s)", (looped,))

    assert world.outcomes([looped])[looped][0] == "cancelled"
    world.assert_serves_others()


def test_whatever_is_forged_ends_or_waits_and_harms_nobody(world: Served) -> None:
    @examples(2)
    @given(forgeries=_FORGERIES)
    def forge(forgeries: list[list[tuple[str, str, int]]]) -> None:
        forged, healthy = [], []
        with world.owner.transaction():
            for changes in forgeries:
                forged.append(_start(world.owner, USER, GRAPH.replace("{x}", "x")))
                healthy.append(_start(world.owner, NEIGHBOUR, "'select 1' ~> 'select 2'"))
                for column, value, place in changes:
                    _change(world.owner, forged[-1], column, value, place)

        ends = world.outcomes(healthy)
        world.user.execute("set statement_timeout = '60s'")
        _until_ended_or_waiting(world, forged)
        for instance in forged:
            _look(world.user, instance)

        assert {status for status, _ in ends.values()} == {"completed"}
        world.assert_alive()

    forge()


def _change(
    owner: "psycopg.Connection", instance: str, column: str, value: str, place: int
) -> None:
    """Change one node, the one at a place; what domains and types refuse stays as it is."""
    with contextlib.suppress(psycopg.DataError, psycopg.IntegrityError), owner.transaction():
        owner.execute(
            f"update df.nodes set {column} = {value} where instance_id = %s and id = (select id"
            " from df.nodes where instance_id = %s order by id offset %s limit 1)",
            (instance, instance, place),
        )


def _until_ended_or_waiting(world: Served, instances: list[str]) -> None:
    """None is tried again and again, and none is held without end."""
    end = time.monotonic() + DEADLINE
    while True:
        left = world.owner.execute(
            "select id, status, worker, attempts, due_at from df.instances"
            " where id = any (%s) and status in ('pending', 'running')"
            " and not (worker is null and due_at > now() + interval '30 s')",
            (instances,),
        ).fetchall()
        if not left:
            return
        world.assert_alive()
        assert time.monotonic() < end, f"neither ended nor parked: {left}\n{world.log()[-3000:]}"
        time.sleep(0.02)


def _look(user: "psycopg.Connection", instance: str) -> None:
    """See that looking at it comes to an end."""
    for query in (
        "select count(*) from df.instance_nodes(%s)",
        "select df.explain(%s)",
        "select count(*) from df.instance_executions(%s)",
        "select count(*) from df.instance_info(%s)",
        "select count(*) from df.waiting_for(%s)",
    ):
        with contextlib.suppress(psycopg.DataError):  # a text that should be JSON and is none
            user.execute(query, (instance,))
