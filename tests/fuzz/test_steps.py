"""Whatever a step's text is, it comes to an end, and the next step finds a clean session."""

from hypothesis import given
from hypothesis import strategies as st

from support.fuzz.profile import examples
from support.fuzz.served import Served
from support.fuzz.statements import ODD, SQLSTATES, raising
from support.fuzz.texts import mutated

# What a session looks like to a step.
_SESSION = """
select current_user::text as who, session_user::text as login,
  (select json_object_agg(name, setting) from pg_settings where name in (
     'search_path', 'TimeZone', 'DateStyle', 'IntervalStyle', 'bytea_output', 'statement_timeout',
     'client_encoding', 'standard_conforming_strings', 'transaction_read_only',
     'transaction_isolation', 'extra_float_digits')) as settings,
  (select count(*) from pg_cursors) as cursors, (select count(*) from pg_listening_channels()),
  (select count(*) from pg_prepared_statements where name not like 'pg\\_durable\\_%') as prepared,
  (select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()) as locks
"""


def _session(world: Served) -> object:
    instance = world.scalar("select df.start(%s)", _SESSION, by=world.user)
    assert world.outcomes([instance])[instance][0] == "completed"
    return world.scalar("select df.result(%s)", instance, by=world.user)


def _start(world: Served, texts: list[str]) -> list[str]:
    return [world.scalar("select df.start(df.sql(%s))", text, by=world.user) for text in texts]


def test_odd_statements_end_and_leave_nothing_behind(world: Served) -> None:
    world.user.execute("select df.setvar('x', 'y')")
    before = _session(world)

    ends = world.outcomes(_start(world, list(ODD)))

    assert {status for status, _ in ends.values()} <= {"completed", "failed", "cancelled"}
    assert _session(world) == before
    world.assert_serves_others()


def test_an_error_of_any_sqlstate_is_the_steps_own_and_fails_it_at_once(world: Served) -> None:
    instances = _start(world, [raising(sqlstate) for sqlstate in SQLSTATES])

    ends = world.outcomes(instances)

    told = [
        world.scalar("select failure ->> 'sqlstate' from df.instance_info(%s)", i, by=world.user)
        for i in instances
    ]
    assert set(map(tuple, ends.values())) == {
        ("failed", "SQL execution failed: error returned from database: on purpose")
    }
    assert told == list(SQLSTATES)
    world.assert_serves_others()


def test_texts_that_are_hardly_sql_end_too(world: Served) -> None:
    before = _session(world)
    short = st.sampled_from([text for text in ODD if len(text) < 1000])

    @examples(4)
    @given(texts=st.lists(mutated(short), min_size=40, max_size=40))
    def run(texts: list[str]) -> None:
        ends = world.outcomes(_start(world, texts))

        assert {status for status, _ in ends.values()} <= {"completed", "failed", "cancelled"}
        world.assert_serves_others()

    run()
    assert _session(world) == before
