"""How what is printed looks."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from pg_durable.cli import output
from pg_durable.cli.output import Column, clean, print_json, print_table, show_duration
from pg_durable.cli.show import culprits, without_header
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


def an_instance(error: str | None = None, label: str | None = None) -> Instance:
    now = datetime.now(UTC)
    return Instance(
        id="00000001", label=label, status="failed", role="r", database=None,
        root_node="a", created_at=now, ended_at=now, duration=timedelta(0), executions=1,
        error=error,
    )  # fmt: skip


def a_failed_node(id_: str, error: str, left: str | None = None, right: str | None = None) -> Node:
    return Node(
        id=id_, type="RACE" if left else "SQL", query="", name=None, left_node=left,
        right_node=right, status="failed", result=f'"{error}"', details={}, updated_at=None,
    )  # fmt: skip


def test_the_node_an_instance_failed_at_is_the_lowest_with_its_error() -> None:
    nodes = [
        a_failed_node("a", "RACE failed: division by zero", "b", "c"),
        a_failed_node("b", "lost the race"),
        a_failed_node("c", "division by zero"),
    ]

    found = culprits(an_instance("RACE failed: division by zero"), nodes)

    assert [node.id for node in found] == ["c"]


def test_the_tree_is_found_below_any_label() -> None:
    instance = an_instance(label="two\n\nparts")
    explained = "Instance: 00000001 (two\n\nparts)\nStatus:   ✗ Failed\n\nSQL: select 1 ✗"

    assert without_header(explained, instance) == "SQL: select 1 ✗"
