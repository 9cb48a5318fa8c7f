"""Hints for statements that PostgreSQL cannot read."""

import pytest

from pg_durable.steps.advice import hint_for


@pytest.mark.parametrize(
    ("statement", "position", "begins"),
    [
        ("select $nope", "8", "No result is called nope here, so $nope was left as it is."),
        ("select $nope.x", "8", "No result is called nope here"),
        ("select {nope}", "8", "There was no variable nope at the start"),
        ("select 1; select 2", None, "A step is one statement."),
    ],
)
def test_what_was_left_as_it_is_is_named(statement: str, position: str | None, begins: str) -> None:
    details = {"sqlstate": "42601"} | ({"position": position} if position else {})

    hint = hint_for(statement, details)

    assert hint is not None
    assert hint.startswith(begins)


@pytest.mark.parametrize(
    ("statement", "details"),
    [
        ("selct $nope", {"sqlstate": "42601", "position": "1"}),
        ("select $1", {"sqlstate": "42601", "position": "8"}),
        ("select $nope", {"sqlstate": "42601", "position": "8", "hint": "The server's own."}),
        ("select $nope", {"sqlstate": "42703", "position": "8"}),
        ("select 1;", {"sqlstate": "42601"}),
    ],
)
def test_nothing_is_said_of_other_errors(statement: str, details: dict[str, str]) -> None:
    assert hint_for(statement, details) is None


def test_a_text_that_looks_like_a_workflow_and_is_none_is_named() -> None:
    hint = hint_for('{"node_tpe":"SQL"}', {"sqlstate": "42601", "position": "1"})

    assert hint is not None
    assert "a JSON object with a node_type" in hint
