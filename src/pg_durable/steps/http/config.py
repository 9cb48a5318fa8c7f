"""The configuration of HTTP and HTTP_MULTIPART nodes, as `df.http` writes it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn, TypeVar

from pg_durable.errors import InvalidWorkflow
from pg_durable.graph.nodes import NodeType
from pg_durable.steps.http.headers import check_names

METHODS = {
    NodeType.HTTP: ("GET", "POST", "PUT", "DELETE", "PATCH"),
    NodeType.HTTP_MULTIPART: ("POST", "PUT", "PATCH"),
}
MOST_REDIRECTS = 20

_T = TypeVar("_T")


class Part(NamedTuple):
    """One part of a form: a field, or a file with a name."""

    name: str
    data_b64: str | None  # its content in base64, or
    data: str | None  # as text
    filename: str | None
    content_type: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What to send where, with nothing filled in yet."""

    url: str
    method: str
    body: str | None
    body_base64: bool  # the body is base64 of the bytes to send
    headers: Mapping[str, str]
    parts: Sequence[Part]
    timeout: int  # seconds for the whole exchange
    redirects: int  # how many may be followed
    idempotency_key: bool  # whether to send one


def read_config(kind: NodeType, query: str | None) -> Config:
    """Read a node's configuration. One that `df.start` has accepted is right, but an older one, or
    one that somebody wrote into the table, need not be.

    Raises:
        InvalidWorkflow: it is not what this type of node has.
    """
    try:
        given = json.loads(query or "")
    except ValueError as error:
        _invalid(kind, str(error))
    except RecursionError:
        _invalid(kind, "nested too deep")
    if not isinstance(given, dict):
        _invalid(kind, "not a JSON object")
    headers = given.get("headers") or {}
    if not isinstance(headers, dict) or not all(isinstance(v, str) for v in headers.values()):
        _invalid(kind, "headers must be an object of texts")
    method = _typed(kind, given, "method", str)
    if method.upper() not in METHODS[kind]:
        what = " for multipart" if kind is NodeType.HTTP_MULTIPART else ""
        raise InvalidWorkflow(f"Unsupported HTTP method{what}: {method}")
    try:
        check_names(headers)
    except InvalidWorkflow as error:
        _invalid(kind, error.message)
    timeout = _typed(kind, given, "timeout_seconds", int, 30)
    redirects = _typed(kind, given, "redirects", int, 0)
    if timeout <= 0 or not 0 <= redirects <= MOST_REDIRECTS:
        _invalid(kind, "timeout_seconds or redirects is out of its range")
    return Config(
        url=_typed(kind, given, "url", str),
        method=method.upper(),
        body=_text(kind, given, "body"),
        body_base64=_typed(kind, given, "body_base64", bool, False),
        headers=headers,
        parts=_parts(kind, given.get("parts")) if kind is NodeType.HTTP_MULTIPART else (),
        timeout=timeout,
        redirects=redirects,
        idempotency_key=_typed(kind, given, "idempotency_key", bool, True),
    )


def _parts(kind: NodeType, given: object) -> list[Part]:
    if not isinstance(given, list) or not given:
        _invalid(kind, "parts must be an array of objects")
    parts = []
    for item in given:
        if not isinstance(item, dict):
            _invalid(kind, "parts must be an array of objects")
        part = Part(
            name=_typed(kind, item, "name", str),
            data_b64=_text(kind, item, "data_b64"),
            data=_text(kind, item, "data"),
            filename=_text(kind, item, "filename"),
            content_type=_text(kind, item, "content_type"),
        )
        if (part.data is None) == (part.data_b64 is None):
            _invalid(kind, "missing field `data_b64`")
        parts.append(part)
    return parts


def _text(kind: NodeType, given: Mapping[str, Any], name: str) -> str | None:
    return None if given.get(name) is None else _typed(kind, given, name, str)


def _typed(
    kind: NodeType, given: Mapping[str, Any], name: str, wanted: type[_T], default: _T | None = None
) -> _T:
    value = given.get(name, default)
    if value is None:
        _invalid(kind, f"missing field `{name}`")
    if type(value) is not wanted:
        _invalid(kind, f"`{name}` is of the wrong type")
    return value


def _invalid(kind: NodeType, problem: str) -> NoReturn:
    what = "multipart HTTP" if kind is NodeType.HTTP_MULTIPART else "HTTP"
    raise InvalidWorkflow(f"Invalid {what} config: {problem}")
