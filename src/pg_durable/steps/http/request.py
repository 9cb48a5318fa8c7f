"""What a step sends: its configuration with names and variables filled in."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from pg_durable import __version__
from pg_durable.errors import InvalidWorkflow, LimitExceeded
from pg_durable.graph.nodes import NodeType
from pg_durable.graph.outcomes import Leaf
from pg_durable.graph.secrets import Secret, Text
from pg_durable.graph.substitution import fill_raw, fill_variables
from pg_durable.steps.http.binary import NotBase64, decode
from pg_durable.steps.http.config import Config, read_config
from pg_durable.steps.http.headers import check_value
from pg_durable.steps.http.multipart import Body, multipart

_KEY = "Idempotency-Key"
_MOST_SHOWN = 2000


class Header(NamedTuple):
    """A field of the request; `confidential` ones are for the origin of its URL alone."""

    name: str
    value: str
    confidential: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A request as it goes over the wire: with its secrets, so never shown."""

    method: str
    url: str
    headers: tuple[Header, ...]
    body: bytes | None
    confidential_body: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request whose secrets are still sealed."""

    kind: NodeType
    method: str
    url: Text
    headers: tuple[tuple[str, Text], ...]
    body: Body | None
    timeout: int
    redirects: int

    @property
    def secrets(self) -> list[Secret]:
        """Those that it needs."""
        texts = [self.url, *(value for _, value in self.headers)]
        texts += [piece for piece in self.body or () if isinstance(piece, Text)]
        return sorted({secret for text in texts for secret in text.secrets})

    @property
    def shown_url(self) -> str:
        """The URL for errors: without secrets, passwords and control characters."""
        url = "".join(c if c.isprintable() else "?" for c in str(self.url))
        scheme, separator, rest = url.partition("://")
        authority, slash, path = rest.partition("/")
        user, at, host = authority.rpartition("@")
        if separator and at:
            url = f"{scheme}://{user.partition(':')[0]}:***@{host}{slash}{path}"
        return url if len(url) <= _MOST_SHOWN else url[: _MOST_SHOWN - 3] + "..."

    def reveal(
        self,
        secrets: Mapping[Secret, str],
        *,
        most_bytes: int,
        most_headers: int,
        most_header_bytes: int,
    ) -> Outgoing:
        """Put the secrets in.

        Raises:
            ReferenceFailed: one is not there any more.
            InvalidWorkflow: a header that cannot be sent.
            LimitExceeded: too large a body, or too many or too large headers.
        """
        headers = []
        for name, text in self.headers:
            value = text.reveal(secrets)
            check_value(name, value)
            confidential = bool(text.secrets) or name.lower() in _CONFIDENTIAL
            headers.append(Header(name, value, confidential))
        url = self.url.reveal(secrets)
        _check_headers(url, headers, most_headers, most_header_bytes)
        body = None
        if self.body is not None:
            pieces = [p if isinstance(p, bytes) else p.reveal(secrets) for p in self.body]
            body = b"".join(p if isinstance(p, bytes) else _utf8(p) for p in pieces)
            if len(body) > most_bytes:
                raise LimitExceeded(
                    f"The request body has {len(body)} bytes; the limit is {most_bytes}.",
                    hint="Send less, or raise http_max_request_bytes.",
                )
        return Outgoing(
            method=self.method,
            url=url,
            headers=tuple(headers),
            body=body,
            confidential_body=any(isinstance(p, Text) and p.secrets for p in self.body or ()),
        )


_CONFIDENTIAL = frozenset({"authorization", "cookie"})


def build_request(leaf: Leaf, variables: Mapping[str, str], limit: int, key: str) -> Request:
    """Fill in a node's configuration. Values may have up to `limit` characters in each text; `key`
    is the Idempotency-Key, which is sent unless the user gives one or wants none.

    Raises:
        InvalidWorkflow: the configuration, or what it comes to, cannot be sent.
        ReferenceFailed, LimitExceeded: a value cannot be filled in.
    """
    kind, node_id = leaf.node.type, leaf.node.id
    config = read_config(kind, leaf.node.query)

    def fill(text: str) -> str:
        return fill_raw(fill_variables(text, variables), leaf.scope.names, limit)

    headers = {name: Text.of(config.headers[name], fill) for name in sorted(config.headers)}
    body: Body | None
    if kind is NodeType.HTTP_MULTIPART:
        _drop(headers, ["content-type"])
        headers["Content-Type"], body = _form(config, fill, node_id)
    else:
        body = _body(config, fill, node_id)
    given = {name.lower() for name in headers}
    if "user-agent" not in given:
        headers["User-Agent"] = Text((f"pg_durable/{__version__}",))
    if "accept" not in given:
        headers["Accept"] = Text(("*/*",))
    if config.idempotency_key and _KEY.lower() not in given:
        headers[_KEY] = Text((key,))
    return Request(
        kind=kind,
        method=config.method,
        url=Text.of(config.url, fill),
        headers=tuple(headers.items()),
        body=body,
        timeout=config.timeout,
        redirects=config.redirects,
    )


def _form(config: Config, fill: Callable[[str], str], node_id: str) -> tuple[Text, Body]:
    content_type, body = multipart(config.parts, fill, node_id)
    return Text((content_type,)), body


def _body(config: Config, fill: Callable[[str], str], node_id: str) -> Body | None:
    if config.body is None:
        return None
    if not config.body_base64:
        return (Text.of(config.body, fill),)
    try:
        return (decode(config.body, fill, f"HTTP node {node_id}: the base64 body"),)
    except NotBase64 as error:
        raise InvalidWorkflow(f"Invalid base64 in the body: {error}") from None


def _drop(headers: dict[str, Text], names: Iterable[str]) -> None:
    for name in [name for name in headers if name.lower() in names]:
        del headers[name]


def _check_headers(url: str, headers: list[Header], most: int, most_bytes: int) -> None:
    size = len(url) + sum(len(header.name) + len(header.value) + 4 for header in headers)
    if len(headers) > most:
        raise LimitExceeded(
            f"The request has {len(headers)} headers; the limit is {most}.",
            hint="Send fewer, or raise http_max_headers.",
        )
    if size > most_bytes:
        raise LimitExceeded(
            f"URL and headers of the request have {size} bytes; the limit is {most_bytes}.",
            hint="Send less, or raise http_max_header_bytes.",
        )


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise InvalidWorkflow(
            "A filled-in value contains half of a surrogate pair, which is no character."
        ) from None
