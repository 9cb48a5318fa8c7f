"""Whoever can log in may notify: junk is a reason to look, and no more."""

import psycopg
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import make_conninfo

from support.fuzz.profile import examples
from support.fuzz.served import NEIGHBOUR, Served
from support.fuzz.texts import TEXTS


def test_junk_on_the_workers_channel_disturbs_nothing(world: Served) -> None:
    waiting = world.scalar("select df.start(df.wait_for_signal('go'))", by=world.user)
    running = world.scalar("select df.start('select pg_sleep(1)')", by=world.user)
    words = st.sampled_from(["cancel ", "signal ", "cancel", "signal", "CANCEL ", ""])
    ids = st.sampled_from([waiting, running, "00000000", "é" * 8, "x" * 7900])
    payloads = st.builds("".join, st.tuples(words, ids | TEXTS))

    with psycopg.connect(make_conninfo(world.conninfo, user=NEIGHBOUR), autocommit=True) as anybody:

        @examples(10)
        @given(junk=st.lists(payloads, min_size=20, max_size=20))
        def notify(junk: list[str]) -> None:
            for payload in junk:
                anybody.execute("select pg_notify('pg_durable', %s)", (payload,))

        notify()
    world.assert_serves_others()
    world.user.execute("select df.signal(%s, 'go', '1')", (waiting,))

    ends = world.outcomes([waiting, running])

    assert [status for status, _ in ends.values()] == ["completed", "completed"]
