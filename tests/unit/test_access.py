"""How names go into the server's files and into statements."""

import pytest

from pg_durable.cli.access import file_word, identifier, literal, missing, password_line
from pg_durable.client import Logins, Place, Refused, Rule, Tried

PLACE = Place(
    server=160000,
    worker="df_worker",
    is_worker=True,
    worker_is_superuser=False,
    database="app",
    address=None,
    ssl=False,
    certificate=False,
    host="db.example",
    port=5432,
    hba_file=None,
    ident_file=None,
    rules=None,
)


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("app_role", "app_role"),
        ("App", '"App"'),
        ('od"d, #1', '"od""d, #1"'),
        ("all", '"all"'),
        ("+group", '"+group"'),
        ("/path", '"/^/path$"'),
        ("/a.b", r'"/^/a\.b$"'),
    ],
)
def test_a_name_in_a_file_means_itself(name: str, word: str) -> None:
    assert file_word(name, 160000) == word


def test_before_version_16_a_slash_is_a_slash() -> None:
    assert file_word("/path", 150000) == '"/path"'


def test_names_in_statements_and_password_files_are_quoted_as_each_needs_it() -> None:
    assert identifier("al'i\"ce") == '"al\'i""ce"'
    assert (identifier("user"), identifier("user_2")) == ('"user"', "user_2")
    assert literal("al'ice") == "'al''ice'"
    assert password_line(PLACE, r"a:b\c") == r"db.example:5432:app:a\:b\\c:PASSWORD"


def refused(place: Place, sqlstate: str) -> list[str]:
    tried = Tried(
        role="alice",
        unfinished=0,
        connect=True,
        expired=False,
        may_set=True,
        refused=Refused(said="no", sqlstate=sqlstate),
    )
    return missing(Logins(identity="login", place=place, tried=[tried]))


def rule(users: list[str], method: str, *options: str) -> Rule:
    return Rule(
        type="local", database=["all"], user_name=users, auth_method=method, options=options
    )


def with_rules(*rules: Rule) -> Place:
    return Place(**{**{name: getattr(PLACE, name) for name in PLACE.__slots__}, "rules": rules})


def test_a_map_that_is_there_is_used() -> None:
    lines = refused(with_rules(rule(["bob"], "trust"), rule(["all"], "peer", "map=m")), "28000")

    assert [line.split()[0::2] for line in lines if line.startswith("m ")] == [["m", "alice"]]
    assert not any(line.startswith("local") for line in lines)


def test_whom_peer_lets_in_as_themselves_goes_on_getting_in() -> None:
    lines = refused(with_rules(rule(["all"], "peer")), "28000")

    assert r"pgdurable  /^(.*)$  \1" in lines
    assert "local  app  alice  peer map=pgdurable" in lines


def test_rules_that_are_not_plain_to_see_are_left_alone() -> None:
    lines = refused(with_rules(rule(["+staff"], "peer", "map=m")), "28000")

    assert "local  app  alice  peer map=pgdurable" in lines


def test_too_few_connections_need_no_line() -> None:
    assert refused(PLACE, "53300") == []
