"""The reference evaluator against the statements of the specification it stands for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.search.compare import differences
from support.search.graphs import Case, make_case
from support.search.nodes import (
    Break,
    Form,
    If,
    IfRows,
    Join,
    Loop,
    Node,
    Race,
    Signal,
    Sleep,
    Sql,
    Then,
    envelope,
    walk,
)
from support.search.observe import Observed
from support.search.reference import IN_LOOP, LOST_LOOP, OUTSIDE, expect
from support.search.told import Broke, Done, Expected, Failed, Unsuitable

FOREVER = Sleep(seconds="3600")
DIVISION = "SQL execution failed: error returned from database: division by zero"
AT_DOLLAR = 'SQL execution failed: error returned from database: syntax error at or near "$"'


def value(number: int, text: str = "5", name: str | None = None) -> Sql:
    return Sql(number=number, form=Form.VALUE, text=text, name=name)


def probe(number: int, name: str) -> Sql:
    return value(number, f"$q${name}=${name}?$q$")


def fail(number: int) -> Sql:
    return Sql(number=number, form=Form.FAIL)


def count(number: int, modulus: int) -> Sql:
    return Sql(number=number, form=Form.COUNT, modulus=modulus)


def then(*nodes: Node) -> Node:
    first, *rest = nodes
    for node in rest:
        first = Then(left=first, right=node)
    return first


def row(number: int, text: str) -> Done:
    return Done(f'{{"rows":[{{"value":{text},"leaf":{number}}}],"row_count":1}}', ("value", "leaf"))


def told(graph: Node) -> Expected:
    return expect(graph, "a label")


def test_a_sequence_has_the_result_of_the_right() -> None:
    seen = told(then(value(1), value(2, "'b'")))

    assert seen.outcome == row(2, '"b"')
    assert seen.order == [(1, 0), (2, 0)]


def test_a_sequence_stops_at_a_failure() -> None:
    seen = told(then(fail(1), value(2)))

    assert seen.outcome == Failed(DIVISION)
    assert seen.nodes == {"root": Failed(DIVISION), "root.left": Failed(DIVISION)}
    assert not seen.effects


def test_an_if_enters_exactly_one_branch() -> None:
    seen = told(If(condition=count(1, 1), left=value(2), right=value(3)))

    assert seen.outcome == row(3, '"5"')
    assert seen.effects == {1: 1, 3: 1}
    assert "root.left" not in seen.nodes


@pytest.mark.parametrize(
    ("before", "outcome"),
    [
        (Sql(number=1, form=Form.ROWS, rows=((1, None),), name="x"), row(2, '"5"')),
        (Sql(number=1, form=Form.EMPTY, name="x"), row(3, '"5"')),
        (Sql(number=1, form=Form.AFFECTED, text="1", name="x"), row(3, '"5"')),
        (value(1), Failed("df.if_rows: result 'x' not found")),
        (
            Sleep(seconds="0", name="x"),
            Failed("df.if_rows: result 'x' is not a SQL result (missing row_count)"),
        ),
    ],
)
def test_if_rows_asks_the_row_count(before: Node, outcome: Done | Failed) -> None:
    seen = told(then(before, IfRows(rows_of="x", left=value(2), right=value(3))))

    assert seen.outcome == outcome


def test_a_join_gives_its_results_in_order_and_merges_only_what_was_stored() -> None:
    join = Join(branches=(value(2, "1", name="x"), probe(3, "x"), value(4, "2", name="y")))

    seen = told(then(value(1, "0", name="x"), join, probe(5, "x"), probe(6, "y")))

    join_result = seen.nodes["root.left.left.right"]
    assert isinstance(join_result, Done)
    assert "\"x='0'\"" in join_result.text
    assert seen.nodes["root.left.right"] == row(5, "\"x='1'\"")
    assert seen.outcome == row(6, "\"y='2'\"")


def test_a_join_runs_all_branches_and_fails_with_the_first_failure_in_order() -> None:
    seen = told(Join(branches=(value(1), fail(2), Break(), value(4))))

    assert seen.outcome == Failed(f"JOIN branch 2 failed: {DIVISION}")
    assert seen.effects == {1: 1, 4: 1}


def test_a_break_in_a_join_goes_outward_after_all_branches_have_run() -> None:
    seen = told(Loop(body=Join(branches=(value(1), Break(value="7"), fail(3)))))

    assert seen.outcome == Done("7")
    assert seen.nodes["root.left"] == Broke("7")
    assert seen.nodes["root.left.extra_nodes[0]"] == Failed(DIVISION)


def test_a_race_has_the_winners_result_and_names() -> None:
    race = Race(left=then(value(1, "1", name="x"), FOREVER), right=value(2, "2", name="y"))

    seen = told(then(race, probe(3, "x"), probe(4, "y")))

    assert seen.nodes["root.left.right"] == row(3, '"x=$x?"')
    assert seen.outcome == row(4, "\"y='2'\"")
    assert seen.possible_effects == {1: 1}
    assert seen.effects == {2: 1, 3: 1, 4: 1}


def test_a_race_fails_with_its_winner() -> None:
    assert told(Race(left=FOREVER, right=fail(1))).outcome == Failed(
        f"RACE right branch failed: {DIVISION}"
    )
    assert told(Race(left=fail(1), right=FOREVER)).outcome == Failed(
        f"RACE left branch failed: {DIVISION}"
    )


def test_a_loop_that_loses_is_failed_and_other_losers_are_unfinished() -> None:
    seen = told(Race(left=Loop(body=then(value(1), FOREVER)), right=value(2)))

    assert seen.nodes["root.left"] == Failed(LOST_LOOP)
    assert "root.left.left" not in seen.nodes
    assert seen.possible == {"root.left.left.left": {row(1, '"5"')}}


def test_a_race_without_a_definite_winner_is_refused() -> None:
    with pytest.raises(Unsuitable):
        told(Race(left=value(1), right=value(2)))


def test_a_loop_runs_until_its_condition_is_false_and_has_the_bodys_result() -> None:
    seen = told(Loop(body=value(1), condition=count(2, 3)))

    assert seen.outcome == row(1, '"5"')
    assert seen.order == [(1, 0), (2, 0), (1, 1), (2, 1), (1, 2), (2, 2)]


@pytest.mark.parametrize("nested", [False, True])
def test_loops_carry_names_from_iteration_to_iteration_and_out(nested: bool) -> None:
    body = then(probe(1, "x"), value(2, "$x.leaf", name="y"), value(3, "1", name="x"))
    loop = Loop(body=then(value(4, "0", name="x"), body), condition=count(5, 2))

    seen = told(then(loop if nested else value(6), loop, probe(7, "y")))

    assert seen.outcome == row(7, "\"y='4'\"")


def test_a_break_ends_the_nearest_loop_from_its_condition_too() -> None:
    inner = Loop(body=value(1), condition=Break(value="in"))

    seen = told(Loop(body=then(inner, Break(value="out"), value(2)), name="x"))

    assert seen.outcome == Done('"out"')
    assert seen.nodes["root.left.left.left"] == Done('"in"')
    assert seen.nodes["root.left.left"] == Broke('"out"')
    assert seen.effects == {1: 1}


@pytest.mark.parametrize(
    ("text", "result"),
    [
        (None, "null"),
        ("5", "5"),
        ('{"n":1}', '{"n":1}'),
        ("ok", '"ok"'),
        ("$x.leaf", "1"),
        ("$x", '"it\'s"'),
        ("{v1}", "7"),
        ('{"k":"{v2}"}', '{"k":"two words"}'),
        ("{v3}", '"it\'s"'),
        ("{v4}", '"{v1}"'),
        ("$nothing", '"$nothing"'),
    ],
)
def test_break_values_are_filled_in_and_json_where_they_can_be(
    text: str | None, result: str
) -> None:
    seen = told(Loop(body=then(value(1, "'it''s'", name="x"), Break(value=text))))

    assert seen.outcome == Done(result)


def test_a_break_outside_of_a_loop_fails_the_instance_alone() -> None:
    seen = told(then(value(1), then(Break(value="v"), value(2))))

    assert seen.outcome == Failed(OUTSIDE)
    assert seen.nodes["root"] == seen.nodes["root.right.left"] == Broke('"v"')
    assert "root.right.right" not in seen.nodes


def test_a_nested_loops_failure_is_told_to_its_parent_with_a_prefix() -> None:
    seen = told(Loop(body=then(Loop(body=fail(1)), value(2))))

    assert seen.nodes["root.left.left"] == Failed(DIVISION)
    assert seen.nodes["root.left"] == Failed(IN_LOOP + DIVISION)
    assert seen.outcome == Failed(IN_LOOP + DIVISION)


def test_a_loop_that_is_a_branch_fails_with_the_prefix_of_the_branch() -> None:
    seen = told(Join(branches=(value(1), Loop(body=fail(2)))))

    assert seen.outcome == Failed(f"JOIN branch 2 failed: {DIVISION}")


def test_a_sleep_stores_its_result_and_a_break_does_not() -> None:
    broken = Loop(body=Break(value="5", name="y"))

    seen = told(then(Sleep(seconds="0.01", name="x"), broken, probe(1, "x"), probe(2, "y")))

    assert seen.nodes["root.left.right"] == row(1, '"x=\'{\\"slept\\":true,\\"seconds\\":0.01}\'"')
    assert seen.outcome == row(2, '"y=$y?"')


def test_a_break_that_passes_leaves_no_names_but_ends_its_loop_with_one() -> None:
    body = Then(left=value(1), right=Break(value="5"), name="x")

    seen = told(then(Loop(body=body, name="y"), probe(2, "x"), probe(3, "y")))

    assert seen.nodes["root.left.right"] == row(2, '"x=$x?"')
    assert seen.outcome == row(3, "\"y='5'\"")


def test_waits_take_their_signals_in_order() -> None:
    wait = Signal(signal="s", sent="start")

    seen = told(Loop(body=wait, condition=count(1, 2)))

    assert seen.outcome == Done('{"signal_name":"s","timed_out":false,"data":2}')
    assert seen.signals == {"s": 2}


def test_a_wait_that_times_out_completes() -> None:
    seen = told(Signal(signal="s", sent="never", timeout=1))

    assert seen.outcome == Done('{"signal_name":"s","timed_out":true,"data":null}')


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("$x.nope", Failed("$x.nope: result has no field 'nope' (available: leaf, value)")),
        ("$y", Failed("$y has no rows — query returned zero results")),
        ("$z", Failed(AT_DOLLAR)),
        ("$y?", row(3, "null")),
        ("-3", row(3, '"-3"')),
        ("'{sys_label}'", row(3, '"a label"')),
    ],
)
def test_expressions_are_filled_in_as_sql(text: str, outcome: Done | Failed) -> None:
    x, y = value(1, name="x"), Sql(number=2, form=Form.EMPTY, name="y")

    assert told(then(x, y, value(3, text))).outcome == outcome


def test_copies_have_the_rows_and_the_columns() -> None:
    rows = Sql(number=1, form=Form.ROWS, rows=((1, "'a'"), (None, None)), name="x")
    empty = Sql(number=2, form=Form.EMPTY, name="y")

    copied = told(then(rows, Sql(number=3, form=Form.COPY, text="x")))
    picked = told(then(empty, Sql(number=3, form=Form.PICK, text="y")))

    assert copied.outcome == Done(
        '{"rows":[{"n":1,"s":"a"},{"n":null,"s":null}],"row_count":2}', ("n", "s")
    )
    assert picked.outcome == Done('{"rows":[],"row_count":0}', ("n",))


@given(st.integers(0, 2**32))
def test_a_seed_gives_the_same_case_each_time(seed: int) -> None:
    first, second = make_case(seed), make_case(seed)

    assert first.graph == second.graph
    assert envelope(first.graph) == envelope(second.graph)
    assert {path for path, _ in walk(first.graph)} >= first.expected.nodes.keys()


def ran(case: Case, *effects: int) -> Observed:
    """What is seen when all goes well, but for the effects."""
    nodes: dict[str, tuple[str, str | None]] = {
        path: ("completed", outcome.text)
        for path, outcome in case.expected.nodes.items()
        if isinstance(outcome, Done)
    }
    assert isinstance(case.expected.outcome, Done)
    return Observed(
        instance="0000000a",
        status="completed",
        result=case.expected.outcome.text,
        output=None,
        nodes=nodes,
        effects=list(effects),
    )


@pytest.mark.parametrize(
    ("effects", "what"),
    [
        ((1, 2, 3), None),
        ((2, 1, 3), None),
        ((1, 2), "effects of leaf 3"),
        ((1, 1, 2, 3), "effects of leaf 1"),
        ((1, 3, 2), "order of effects"),
        ((1, 2, 3, 4), "effects of leaf 4"),
    ],
)
def test_lost_doubled_and_disordered_effects_are_found(
    effects: tuple[int, ...], what: str | None
) -> None:
    graph = then(Join(branches=(value(1), value(2))), value(3))
    case = Case(seed=0, graph=graph, expected=told(graph))

    found = list(differences(case, ran(case, *effects)))

    assert [line.splitlines()[0] for line in found] == ([] if what is None else [what])


def test_what_a_loser_did_before_its_end_may_be_there_or_not_but_not_twice() -> None:
    graph = Race(left=then(value(1), FOREVER), right=value(2))
    case = Case(seed=0, graph=graph, expected=told(graph))

    def seen(*effects: int) -> list[str]:
        observed = ran(case, *effects)
        for path in ("root.left", "root.left.left", "root.left.right"):
            observed.nodes[path] = ("running", None)
        return list(differences(case, observed))

    assert not seen(2)
    assert not seen(1, 2)
    assert seen(1, 1, 2)


def test_wrong_statuses_and_results_are_found() -> None:
    graph = then(value(1), value(2))
    case = Case(seed=0, graph=graph, expected=told(graph))
    observed = ran(case, 1, 2)
    observed.status, observed.output = "failed", "boom"
    observed.nodes["root.left"] = ("running", None)

    found = list(differences(case, observed))

    assert [line.splitlines()[0] for line in found] == ["instance", "root.left (Sql)"]
