"""What a check finds."""

from typing import NamedTuple


class Violation(NamedTuple):
    """Something that must not be: which check says so, of what, and the details."""

    check: str
    subject: str
    detail: str
