"""How what is printed looks."""

import json
import logging
from datetime import UTC, datetime, timedelta

import pytest

from pg_durable.cli import output
from pg_durable.cli.logs import log_to_stderr
from pg_durable.cli.output import Column, clean, print_json, print_table, show_duration
from pg_durable.cli.show import with_iterations, without_header
from pg_durable.cli.statement import marked, place, shortened
from pg_durable.client import Instance, Node

COLUMNS = [Column("ID"), Column("STATUS"), Column("LABEL", shrinks=True)]
ROWS = [["1", "failed", "a long label, 日本語, [red]with markup[/red]"], ["22", "completed", ""]]


def on_a_terminal(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setattr(output, "on_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)


def test_a_table_that_is_piped_is_never_cut_wrapped_or_coloured(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "20")

    whole = print_table(COLUMNS, ROWS)

    assert whole
    assert capsys.readouterr().out.splitlines() == [
        "ID  STATUS     LABEL",
        "1   failed     a long label, 日本語, [red]with markup[/red]",
        "22  completed",
    ]


def test_a_table_on_a_terminal_is_cut_to_its_width_visibly(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    on_a_terminal(monkeypatch, 33)
    monkeypatch.setenv("NO_COLOR", "1")

    whole = print_table(COLUMNS, ROWS)

    assert not whole
    # Wide characters take two columns each, and none is cut in half.
    assert capsys.readouterr().out.splitlines()[1] == "1   failed     a long label, 日 …"


def test_a_table_on_a_terminal_has_colours(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    on_a_terminal(monkeypatch, 100)

    print_table(COLUMNS, ROWS)

    assert "\x1b[1;31mfailed" in capsys.readouterr().out


def test_no_color_means_no_escape_at_all(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    on_a_terminal(monkeypatch, 100)
    monkeypatch.setenv("NO_COLOR", "1")

    print_table(COLUMNS, ROWS)

    assert "\x1b" not in capsys.readouterr().out


def test_stored_text_cannot_steer_the_terminal() -> None:
    assert clean("a\x1b[2Jb\x9bc\nd\té") == "a\\x1b[2Jb\\x9bc\nd\té"


def test_an_event_in_the_log_is_one_line_that_cannot_steer_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log_to_stderr(verbose=False, quiet=False)
    (handler,) = [h for h in logging.getLogger().handlers if type(h) is logging.StreamHandler]

    logging.getLogger("pg_durable.test").error("an \x1b[2Jevent\n2026-01-01 ERROR forged")

    logging.getLogger().removeHandler(handler)
    assert capsys.readouterr().err.endswith(" an \\x1b[2Jevent 2026-01-01 ERROR forged\n")


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0 ms"),
        (0.0123, "12 ms"),
        (1.25, "1.2 s"),
        (59.94, "59.9 s"),
        (60, "1 min 0 s"),
        (3600 * 5 + 61, "5 h 1 min"),
        (86400 * 400, "400 d 0 h"),
    ],
)
def test_a_duration_is_shown_in_its_largest_units(seconds: float, shown: str) -> None:
    assert show_duration(timedelta(seconds=seconds)) == shown


def test_json_has_seconds_and_utc(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"a": timedelta(seconds=1.5), "b": datetime(2026, 1, 2, tzinfo=UTC)})

    assert json.loads(capsys.readouterr().out) == {"a": 1.5, "b": "2026-01-02T00:00:00Z"}


def test_the_tree_is_found_below_any_label() -> None:
    now = datetime.now(UTC)
    instance = Instance(
        id="00000001", label="two\n\nparts", status="failed", role="r", database=None,
        root_node="a", created_at=now, ended_at=now, duration=timedelta(0), executions=1,
        error=None, failure=None,
    )  # fmt: skip
    explained = "Instance: 00000001 (two\n\nparts)\nStatus:   ✗ Failed\n\nSQL: select 1 ✗"

    assert without_header(explained, instance) == "SQL: select 1 ✗"


def a_loop(status: str, iteration: int | None) -> Node:
    return Node(
        id="a", type="LOOP", query=None, name=None, left_node="b", right_node=None,
        status=status, result=None, iteration=iteration, details={}, updated_at=None,
    )  # fmt: skip


def test_each_loop_of_a_tree_tells_how_far_it_has_come() -> None:
    drawn = (
        "LOOP (while) |=> 'x' ✓\n→ LOOP (while) ✓\n→ LOOP (infinite) ✗\n"
        "    ↻ body:\n      └─LOOP (while) ○"
    )
    loops = [
        a_loop("completed", 1), a_loop("completed", 7), a_loop("failed", 3), a_loop("pending", None)
    ]  # fmt: skip

    assert with_iterations(drawn, loops) == (
        "LOOP (while) |=> 'x', 1 iteration ✓\n→ LOOP (while), 7 iterations ✓\n"
        "→ LOOP (infinite), iteration 3 ✗\n    ↻ body:\n      └─LOOP (while) ○"
    )


def test_a_step_that_looks_like_a_loop_leaves_the_tree_as_it_is() -> None:
    drawn = "LOOP (infinite) ⏳\n    ↻ body:\n      └─SQL: -- see LOOP (while) ⏳"

    assert with_iterations(drawn, [a_loop("running", 2)]) == drawn


@pytest.mark.parametrize(
    ("statement", "position", "shown"),
    [
        ("select nope", 8, ["select nope", "       ^"]),
        ("select 1,\n\tnope\nfrom t", 12, ["nope", "^"]),
        ("select '日本' + 1", 13, ["select '日本' + 1", "              ^"]),
        ("select 1 +", 11, ["select 1 +", "          ^"]),
        ("a" * 50 + "!" + "b" * 50, 51, [f"…{'a' * 40}!{'b' * 39}…", f"{' ' * 41}^"]),
        ("select 1", 99, []),
        ("select 1", 0, []),
    ],
)
def test_the_place_of_an_error_is_marked_in_its_line(
    statement: str, position: int, shown: list[str]
) -> None:
    assert marked(statement, position) == shown


def test_a_place_is_told_with_its_line_where_there_are_several() -> None:
    assert place("select nope", 8) == "character 8"
    assert place("select 1,\n  nope", 13) == "line 2, character 3"


def test_of_a_long_statement_the_beginning_is_shown() -> None:
    assert shortened("select 1", 8) == "select 1"
    assert shortened("x" * 2000, 3000) == (
        f"{'x' * 1000}…\n(3000 characters; pg-durable show --json has more)"
    )
    assert shortened("1\n" * 13, 26).startswith("1\n" * 11 + "1…\n")
