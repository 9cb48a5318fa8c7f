"""Envelopes that no builder makes: refused in clear words, or run to an end."""

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.fuzz.envelopes import GRAPHS, changed
from support.fuzz.profile import examples
from support.fuzz.served import Served
from support.fuzz.verdict import assert_clear

CALLS = (
    *("df.start(%s)", "df.start(%s)", "df.start(%s)", "df.start('select 1' ~> %s)"),
    *("df.explain(%s)", "df.seq(%s, 'select 1')", "df.as(%s, 'n')", "df.loop('select 1', %s)"),
    *("df.join(%s, 'x', 'y')", "df.race('x', %s)", "df.if(%s, 'x', 'y')", "%s ?> 'x' !> 'y'"),
    *("'x' ~> %s", "df.if_else_op(%s, 'x')", "df.start(df.join3('x', 'y', %s))", "@> %s"),
    *("df.http_options(%s, 1)", "df.sql(%s)", "%s & 'x'", "'x' | %s", "%s |=> 'n'"),
)


def _built(world: Served) -> list[str]:
    world.user.execute("set statement_timeout = '30s'")
    return [world.scalar("select " + g, by=world.user) for g in GRAPHS]


def test_changed_envelopes_are_refused_in_clear_words_or_run_to_an_end(world: Served) -> None:
    envelopes = st.sampled_from(_built(world)).flatmap(changed)
    started: list[str] = []

    @examples(150)
    @given(envelope=envelopes, call=st.sampled_from(CALLS))
    def build(envelope: str, call: str) -> None:
        try:
            made = world.scalar(f"select {call}", envelope, by=world.user)
        except psycopg.Error as error:
            assert_clear(error, call)
        else:
            if call.startswith("df.start"):
                started.append(made)

    build()
    ends = world.outcomes(started, or_waiting=True)

    assert ends
    assert {status for status, _ in ends.values()} <= {"completed", "failed"}
    assert not [output for _, output in ends.values() if "given up" in output]
    world.assert_serves_others()


def test_an_escape_that_stands_for_no_character_is_named(world: Served) -> None:
    refused = []
    for escape in (r"\ud800", r"\uDC00", r"\u0000"):
        envelope = '{"node_type":"SQL","query":"select ' + escape + '"}'
        try:
            world.user.execute("select df.start(%s)", (envelope,))
        except psycopg.Error as error:
            refused.append((error.sqlstate, error.diag.message_primary))
    kept = world.scalar(
        r"""select df.start('{"node_type":"SQL","query":"select ''\\ud800 \ud83d\ude00''"}')""",
        by=world.user,
    )

    assert refused == [
        (
            "WF001",
            "Invalid JSON: an escape in it stands for no character,"
            rf' at QL","query":"select {escape}"}}',
        )
        for escape in (r"\ud800", r"\uDC00", r"\u0000")
    ]
    assert world.outcomes([kept])[kept][0] == "completed"


def test_what_is_no_condition_before_else_is_refused_in_words(world: Served) -> None:
    for left in ("select 1", "{", "[]", "1", ""):
        with pytest.raises(psycopg.Error) as refused:
            world.user.execute("select %s::text !> 'select 2'", (left,))

        assert (refused.value.sqlstate, refused.value.diag.message_primary) == (
            "WF001",
            "Invalid if-then-else: left side of !> must be a ?> expression",
        )
