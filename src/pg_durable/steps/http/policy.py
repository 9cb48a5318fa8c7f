"""Where requests may go: the rules of `http_policy`.

| rule                        | allows                                                       |
|-----------------------------|--------------------------------------------------------------|
| `none`                      | nothing; it stands alone                                     |
| `public`                    | every host with public addresses                             |
| `api.example.com`           | that host, if its addresses are public                       |
| `*.example.com`             | all below it, but not `example.com` itself; likewise         |
| `10.1.0.0/16`, `127.0.0.1`  | these addresses, though they are private, or given by number |

Rules are separated by commas or blanks. Each may end in a port, and then holds for that port
alone: `api.example.com:8443`, `127.0.0.1:8080`, `[::1]:8080`. A host name must be allowed by its
name, whatever addresses are; and each address connected to must be public, or named.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_network

from pg_durable.errors import InvalidWorkflow, NotAllowed
from pg_durable.steps.http.addresses import Address, Network, is_public, reached
from pg_durable.steps.http.target import Target

# Ports at which something other than HTTP listens, which a request could be made to speak to:
# those that browsers refuse. A rule that names one of them allows it.
_OTHER_PROTOCOLS = frozenset({
    1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101,
    102, 103, 104, 109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389,
    427, 465, 512, 513, 514, 515, 526, 530, 531, 532, 540, 548, 554, 556, 563, 587, 601, 636,
    989, 990, 993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 5432, 6000,
    6379, 6432, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080, 11211,
})  # fmt: skip
_HOST = re.compile(r"(?:\*\.)?[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?")


@dataclass(frozen=True, slots=True)
class _Rule:
    """One rule: a host (pattern), a network, or neither: all that is public."""

    host: str | None = None
    network: Network | None = None
    port: int | None = None

    @property
    def is_public(self) -> bool:
        return self.host is None and self.network is None

    def fits(self, port: int) -> bool:
        return self.port == port or (self.port is None and port not in _OTHER_PROTOCOLS)

    def names(self, host: str) -> bool:
        if self.host is None:
            return self.network is None
        if self.host.startswith("*."):
            return host.endswith(self.host[1:]) and len(host) > len(self.host) - 1
        return host == self.host


@dataclass(frozen=True, slots=True)
class Policy:
    """Rules, as they were written and as they are applied. No rules: nothing is allowed."""

    text: str
    rules: tuple[_Rule, ...]

    def admit(self, target: Target) -> None:
        """Check scheme, host and port before anything is sent or looked up.

        Raises:
            NotAllowed: says which rule is in the way.
        """
        if not self.rules:
            raise NotAllowed(
                "Blocked: outbound HTTP requests are disabled."
                " Set pg_durable.http_policy to what may be called."
            )
        if target.address is not None:
            if self._names(target.address, target.port):
                return
            if not self._is_open:
                raise NotAllowed(
                    "Blocked: requests to bare IP addresses are not permitted."
                    f" Use a host name, or name {target.written} in pg_durable.http_policy."
                )
            if not is_public(target.address):
                raise restricted(target.written)
            if any(rule.is_public and rule.fits(target.port) for rule in self.rules):
                return
        elif any(rule.names(target.host) and rule.fits(target.port) for rule in self.rules):
            return
        elif not any(rule.names(target.host) for rule in self.rules):
            raise NotAllowed(
                f"Blocked: '{target.written}' is not in the allowed endpoint list."
                " Only requests to hosts that pg_durable.http_policy names are permitted."
            )
        raise NotAllowed(
            f"Blocked: port {target.port} of '{target.written}' is not in the allowed endpoint"
            " list. Name host and port in pg_durable.http_policy to permit it."
        )

    def allows(self, address: Address, port: int) -> bool:
        """Whether a connection to an address may be made for a host that has been admitted."""
        return self._names(address, port) or (bool(self.rules) and is_public(address))

    def _names(self, address: Address, port: int) -> bool:
        return any(
            rule.network is not None
            and (address in rule.network or reached(address) in rule.network)
            and rule.fits(port)
            for rule in self.rules
        )

    @property
    def _is_open(self) -> bool:
        return any(rule.is_public for rule in self.rules)


def restricted(host: str) -> NotAllowed:
    """What is said of a host whose addresses may not be connected to."""
    return NotAllowed(
        f"Blocked: the resolved IP address for '{host}' is in a restricted range."
        " df.http() cannot access private or internal network addresses."
    )


@lru_cache(maxsize=16)
def read_policy(text: str) -> Policy:
    """Read the rules of a policy; nothing at all is `none`.

    Raises:
        InvalidWorkflow: a rule that cannot be read. Nothing may be called until it is mended.
    """
    words = [word for word in re.split(r"[,\s]+", text.lower()) if word]
    if "none" in words:
        if len(words) > 1:
            raise InvalidWorkflow(f"http_policy is {text!r}: none stands alone.")
        words = []
    return Policy(" ".join(words) or "none", tuple(_read_rule(word) for word in words))


def _read_rule(word: str) -> _Rule:
    if re.fullmatch(r"[0-9a-f:]*:[0-9a-f:.]*(/\d+)?", word) and word.count(":") > 1:
        place, port = word, None
    else:
        match = re.fullmatch(r"\[([^\]]+)\](?::(\d+))?|([^:]+)(?::(\d+))?", word)
        if match is None:
            raise _unreadable(word)
        place = match[1] or match[3]
        digits = match[2] or match[4]
        port = int(digits) if digits else None
    if port is not None and not 1 <= port <= 65535:
        raise _unreadable(word)
    if place == "public":
        return _Rule(port=port)
    try:
        return _Rule(network=ip_network(place), port=port)
    except ValueError:
        pass
    last = place.rpartition(".")[2]
    if not _HOST.fullmatch(place) or ".." in place or last.isdigit() or "/" in place:
        raise _unreadable(word)
    return _Rule(host=place, port=port)


def _unreadable(word: str) -> InvalidWorkflow:
    return InvalidWorkflow(
        f"http_policy: {word!r} is none of public, a host such as api.example.com or"
        " *.example.com, and an address or range such as 10.1.0.0/16."
    )
