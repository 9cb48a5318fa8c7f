"""What a worker makes of what the launcher and the server tell it."""

import pytest

from pg_durable.cli.launched import misleads, names_in, own_dsns
from pg_durable.errors import InvalidWorkflow


def postmaster(*, directory: str = "", address: str = "") -> list[str]:
    """The lines of postmaster.pid."""
    return ["4711", "/data", "1795380898", "5433", directory, address, "1 2", "ready   "]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("postgres", ["postgres"]),
        ("one,two , three", ["one", "two", "three"]),
        ('"One, two", "it""s"', ["One, two", 'it"s']),
        ('"it\'s \\ odd " , with space', ["it's \\ odd ", "with space"]),
        (" , ", []),
    ],
)
def test_a_list_is_read_as_the_server_reads_it(text: str, names: list[str]) -> None:
    assert names_in(text) == names


def test_the_worker_connects_through_the_first_socket_directory() -> None:
    dsns = own_dsns(
        postmaster(directory="/run/pg", address="10.0.0.1"), "it's us", 'one, "o\'ther"'
    )

    assert dsns == [
        "host=/run/pg port=5433 user='it\\'s us' dbname=one",
        "host=/run/pg port=5433 user='it\\'s us' dbname=o\\'ther",
    ]


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("*", "localhost"),
        ("0.0.0.0", "127.0.0.1"),
        ("::", "::1"),
    ],
)
def test_without_a_socket_it_connects_to_the_first_address(address: str, host: str) -> None:
    (dsn,) = own_dsns(postmaster(address=address), "us", "one")

    assert dsn == f"host={host} port=5433 user=us dbname=one"


def test_a_list_without_a_name_is_refused() -> None:
    with pytest.raises(InvalidWorkflow, match=r"pg_durable.database is ','"):
        own_dsns(postmaster(), "us", ",")


@pytest.mark.parametrize(
    ("variable", "does"),
    [
        ("PGHOST", True),
        ("PGSSLMODE", True),
        ("PG_DURABLE_DSN", True),
        ("PG_DURABLE_LEASE", False),
        ("PGPASSFILE", False),
        ("PATH", False),
    ],
)
def test_variables_that_mean_another_server_are_left_out(variable: str, does: bool) -> None:
    assert misleads(variable) is does
