"""What a response comes to: the result object, or the failure of the step."""

import base64
import codecs
import re
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from email.message import Message

import orjson

from pg_durable.errors import InvalidWorkflow, LimitExceeded, RequestFailed
from pg_durable.graph.outcomes import Done, Failed, Outcome
from pg_durable.graph.secrets import Secret, hide

_TEXTS = frozenset(
    f"application/{name}"
    for name in (
        "json", "xml", "javascript", "ecmascript", "x-www-form-urlencoded", "graphql", "yaml",
        "x-yaml",
    )
)  # fmt: skip
_TEXT_SUFFIXES = ("+json", "+xml", "+yaml")
# Python's codecs also hold things that are no character sets, and some that are slow on purpose.
_CHARSETS = (
    *("utf-8", "utf-16", "utf-32", "ascii", "iso8859", "latin", "cp", "koi8", "mac"),
    *("shift_jis", "euc_", "gb", "big5", "iso2022", "hz", "tis-620", "johab"),
)
_VISIBLE = re.compile(r"[\t\x20-\x7e]*")
_MOST_IN_ERROR = 512  # bytes of a body in the text of an error


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """A response that has come to its end. Bodies are decompressed."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    duration: float  # seconds

    def outcome(self, call: str, secrets: Mapping[Secret, str]) -> Outcome:
        """The step's outcome; `call` says what was called, for the text of a failure.

        What the server sends back of the request's secrets is hidden.
        """
        text, encoding = encode_body(self.body, self.headers.get("content-type", ""))
        if encoding == "text":
            text = hide(text, secrets)
        if self.status >= 500:
            body = _cut(text, encoding)
            details = {"sqlstate": RequestFailed.sqlstate, "http_status": self.status}
            return Failed(f"{call} returned {self.status}: {body}", details)
        result = {
            "status": self.status,
            "body": text,
            "encoding": encoding,
            "headers": {name: hide(value, secrets) for name, value in self.headers.items()},
            "ok": 200 <= self.status <= 299,
            "duration_ms": round(self.duration * 1000),
        }
        return Done(orjson.dumps(result).decode())


def visible_headers(fields: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Names in lower case, each with its last value; those that are not visible ASCII left out."""
    return {name.lower(): value for name, value in fields if _VISIBLE.fullmatch(value)}


def encode_body(body: bytes, content_type: str) -> tuple[str, str]:
    """A body as text, if its type or its bytes say that it is text, else in base64.

    A text with a NUL is none: no PostgreSQL text could hold it.
    """
    if b"\0" not in body or _charset(content_type).startswith("utf-16"):
        declared = _declared_text(content_type)
        try:
            text = body.decode(_charset(content_type), "replace" if declared else "strict")
        except UnicodeDecodeError:
            text = None
        if text is not None and "\0" not in text:
            return text, "text"
    return base64.b64encode(body).decode(), "base64"


def _declared_text(content_type: str) -> bool:
    media = re.split("[,;]", content_type, maxsplit=1)[0].strip().lower()
    return media.startswith("text/") or media.endswith(_TEXT_SUFFIXES) or media in _TEXTS


def _charset(content_type: str) -> str:
    """The name of the codec that a content type asks for; UTF-8 where it names none of ours."""
    message = Message()
    message["content-type"] = content_type
    charset = message.get_param("charset")
    try:
        name = codecs.lookup(charset if isinstance(charset, str) else "utf-8").name
    except (LookupError, ValueError):
        return "utf-8"
    return name if name.startswith(_CHARSETS) else "utf-8"


def _cut(text: str, encoding: str) -> str:
    raw = text.encode()
    if len(raw) <= _MOST_IN_ERROR:
        return text
    what = "base64 characters" if encoding == "base64" else "bytes"
    kept = raw[:_MOST_IN_ERROR].decode(errors="ignore")
    return f"{kept}... [truncated, {len(raw)} {what} total]"


class Body:
    """Collects a body as it comes, decompressed, and never holds more than a limit."""

    def __init__(self, content_encoding: str, limit: int) -> None:
        self._limit = limit
        self._pieces: list[bytes] = []
        self._received = self._size = 0
        self._encoding = content_encoding.strip().lower()
        self._inflate = _inflater(self._encoding)

    def add(self, data: bytes) -> None:
        """Take in what has come.

        Raises:
            LimitExceeded: that is more than the limit, compressed or not.
            InvalidWorkflow: it is not compressed as the server says.
        """
        self._received += len(data)
        if self._received > self._limit:
            raise self._too_large()
        if self._inflate is None:
            self._keep(data)
            return
        while data:
            if self._inflate.eof:  # one compressed stream after another is one body
                self._inflate = _inflater(self._encoding)
                assert self._inflate is not None
            try:
                self._keep(self._inflate.decompress(data, self._limit - self._size + 1))
            except zlib.error as error:
                raise InvalidWorkflow(f"the body cannot be decompressed: {error}") from None
            data = self._inflate.unconsumed_tail or self._inflate.unused_data

    def whole(self) -> bytes:
        """The body, now that it has come to its end.

        Raises:
            InvalidWorkflow: the end is missing.
        """
        if self._inflate is not None and self._received and not self._inflate.eof:
            raise InvalidWorkflow("the compressed body ends too early")
        return b"".join(self._pieces)

    def _keep(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > self._limit:
            raise self._too_large()
        self._pieces.append(data)

    def _too_large(self) -> LimitExceeded:
        return LimitExceeded(
            f"The response has more than {self._limit} bytes.",
            hint="Ask for less, or raise http_max_response_bytes.",
        )


_GZIP, _ZLIB = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS


def _inflater(encoding: str) -> "zlib._Decompress | None":
    match encoding:
        case "gzip" | "x-gzip":
            return zlib.decompressobj(_GZIP)
        case "deflate":
            return zlib.decompressobj(_ZLIB)
    return None
