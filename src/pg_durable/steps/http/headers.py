"""Header fields that a request may carry."""

import re
from collections.abc import Iterable

from pg_durable.errors import InvalidWorkflow

# They say how the message is framed or belong to one connection: the client's business.
_OURS = frozenset({
    "connection", "content-length", "expect", "host", "http2-settings", "keep-alive",
    "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
    "transfer-encoding", "upgrade",
})  # fmt: skip
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e]*")


def check_names(names: Iterable[str]) -> None:
    """Refuse header names that cannot be sent, or not by users.

    Raises:
        InvalidWorkflow: names the header.
    """
    seen = set()
    for name in names:
        lower = name.lower()
        if not _NAME.fullmatch(name):
            raise InvalidWorkflow(f"{name!r} is not the name of a header")
        if lower in _OURS:
            raise InvalidWorkflow(f"header '{name}' is set by the worker and cannot be given")
        if lower in seen:
            raise InvalidWorkflow(f"header '{name}' is given twice")
        seen.add(lower)


def check_value(name: str, value: str) -> None:
    """Refuse a value that is not one line of visible ASCII characters.

    Raises:
        InvalidWorkflow: names the header, and never tells the value.
    """
    if not _VALUE.fullmatch(value):
        raise InvalidWorkflow(
            f"the value of header '{name}' is not one line of visible ASCII characters"
        )
