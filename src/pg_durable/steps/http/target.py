"""Taking a URL apart, once and strictly: what is checked is what is connected to."""

import re
from typing import NamedTuple

import idna

from pg_durable.errors import InvalidWorkflow, NotAllowed
from pg_durable.steps.http.addresses import Address, read_address

_PORTS = {"http": 80, "https": 443}
_UNSAFE = re.compile(r"[\x00-\x20\x7f\\]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
# What the resolver of an operating system may take for a number: 127.1, 0x7f.1, 2130706433 …
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")


class Target(NamedTuple):
    """Where a request goes. `url` has no user information, no fragment and always a port."""

    scheme: str
    host: str  # lower case, ASCII; an IPv6 address without brackets
    port: int
    address: Address | None  # when the host is one
    written: str  # the host as it was written
    user: str | None  # user information, as it was written
    path: str  # path and query

    @property
    def origin(self) -> tuple[str, str, int]:
        """Who gets it: scheme, host and port."""
        return self.scheme, self.host, self.port

    @property
    def url(self) -> str:
        """The URL in its normal form."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.path}"


def read_url(url: str) -> Target:
    """Take a URL apart.

    Raises:
        NotAllowed: a scheme or host that no request goes to.
        InvalidWorkflow: not a URL.
    """
    scheme, separator, rest = url.partition("://")
    if scheme.lower() not in _PORTS or not separator:
        raise NotAllowed(
            f"Blocked: unsupported URL scheme '{_shown(scheme.lower())}'."
            " Only http and https are allowed."
        )
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    user, _, place = authority.rpartition("@")
    if _UNSAFE.search(authority) or _CONTROL.search(rest):
        raise InvalidWorkflow("the URL contains a control character, a backslash or a blank")
    written, port = _host_and_port(place, _PORTS[scheme.lower()])
    if not written:
        raise NotAllowed("Blocked: unable to extract hostname from URL.")
    host, address = _normal_host(written)
    path = rest[len(authority) :].partition("#")[0]
    return Target(
        scheme=scheme.lower(),
        host=host,
        port=port,
        address=address,
        written=written,
        user=user or None,
        path=path if path.startswith("/") else f"/{path}",
    )


def _host_and_port(place: str, default: int) -> tuple[str, int]:
    if place.startswith("["):
        host, bracket, rest = place.partition("]")
        host, separator, port = host + bracket, rest[:1], rest[1:]
        if rest and separator != ":":
            raise InvalidWorkflow(f"{rest!r} after the address is no port")
    else:
        host, separator, port = place.partition(":")
    if not port:
        return host, default
    if not re.fullmatch(r"[0-9]{1,5}", port, re.ASCII) or not 1 <= int(port) <= 65535:
        raise InvalidWorkflow(f"{_shown(port)!r} is no port")
    return host, int(port)


def _normal_host(written: str) -> tuple[str, Address | None]:
    """The host in lower case and ASCII, or the address that it is.

    Raises:
        NotAllowed: neither a host name nor an address in its usual form.
    """
    if written.startswith("["):
        address = read_address(written[1:-1]) if written.endswith("]") else None
        if address is None or address.version != 6:
            raise _no_host(written)
        return str(address), address
    try:
        # As browsers do: so that full-width digits or dots cannot hide an address.
        host = idna.encode(written, uts46=True).decode() if not written.isascii() else written
    except idna.IDNAError:
        raise _no_host(written) from None
    host = host.lower()
    address = read_address(host)
    if address is not None:
        return host, address
    labels = host.split(".")
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise _no_host(written)
    if _NUMBER.fullmatch(labels[-1]):
        raise _no_host(written)
    return host, None


def _no_host(written: str) -> NotAllowed:
    return NotAllowed(
        f"Blocked: '{_shown(written)}' is neither a host name nor an IP address in its usual form."
    )


def _shown(text: str) -> str:
    return _CONTROL.sub("?", text[:100])
