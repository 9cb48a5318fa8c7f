"""User information of a URL as the header it stands for."""

import base64
from urllib.parse import unquote


def basic(user: str) -> str:
    """The value of an Authorization header for `name:password`, percent-encoded as in a URL."""
    name, _, password = user.partition(":")
    pair = f"{unquote(name)}:{unquote(password)}"
    return "Basic " + base64.b64encode(pair.encode()).decode()
