"""Binary array parameters, against the description of the format."""

from pg_durable.wire.arrays import int_array, text_array


def test_an_empty_array_has_no_dimension() -> None:
    assert text_array([]) == bytes.fromhex("00000000 00000000 00000019".replace(" ", ""))


def test_texts_are_counted_in_bytes_and_nulls_are_marked() -> None:
    assert text_array(["é", None]) == bytes.fromhex(
        "00000001 00000001 00000019 00000002 00000001 00000002c3a9 ffffffff".replace(" ", "")
    )


def test_integers_have_four_bytes() -> None:
    assert int_array([7]) == bytes.fromhex(
        "00000001 00000000 00000017 00000001 00000001 00000004 00000007".replace(" ", "")
    )
