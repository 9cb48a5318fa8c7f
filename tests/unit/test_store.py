"""What notifications say: anybody may send them."""

import pytest

from pg_durable.store import role_of_due


@pytest.mark.parametrize(
    ("payload", "role"),
    [
        (b"start 10", "10"),
        (b"start 4294967295", "4294967295"),
        (b"start 4294967296", ""),
        (b"start 00000000001", ""),
        (b"start -1", ""),
        (b"start 1; drop table t", ""),
        (b"start 1\n", ""),
        (b"start ", ""),
        (b"start", ""),
        (b"", ""),
        ("start \u0661".encode(), ""),
    ],
)
def test_only_the_number_of_a_role_is_taken_from_a_notification(payload: bytes, role: str) -> None:
    assert role_of_due(payload) == role
