"""Bodies of type multipart/form-data (RFC 7578)."""

import hashlib
import re
from collections.abc import Callable, Sequence
from typing import TypeAlias

from pg_durable.errors import InvalidWorkflow
from pg_durable.graph.secrets import Text
from pg_durable.steps.http.binary import NotBase64, decode
from pg_durable.steps.http.config import Part

Body: TypeAlias = tuple[bytes | Text, ...]
"""What is sent one after the other."""

_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_MEDIA_TYPE = re.compile(
    rf'{_WORD}/{_WORD}(?:[ \t]*;[ \t]*{_WORD}=(?:{_WORD}|"[^"\\\x00-\x1f\x7f-\uffff]*"))*'
)
_BREAKS = re.compile(r"[\x00-\x1f\x7f]")


def multipart(parts: Sequence[Part], fill: Callable[[str], str], node_id: str) -> tuple[str, Body]:
    """The content type and the body of a form.

    The boundary follows from what the parts hold: it cannot be foreseen, and a request that is
    sent again is the same to the byte, as those who look at its Idempotency-Key expect.

    Raises:
        InvalidWorkflow, ReferenceFailed: a part that cannot be sent.
    """
    pieces: list[tuple[bytes, bytes | Text]] = []
    for part in parts:
        name = _field(fill(part.name), "name", part.name)
        disposition = f'Content-Disposition: form-data; name="{name}"'
        if part.filename is not None:
            filename = _field(fill(part.filename), "filename", part.name)
            disposition += f'; filename="{filename}"'
        head = f"{disposition}\r\n"
        if part.content_type is not None:
            if not _MEDIA_TYPE.fullmatch(part.content_type):
                raise InvalidWorkflow(
                    f"Invalid content_type for part '{part.name}': not a media type"
                )
            head += f"Content-Type: {part.content_type}\r\n"
        pieces.append((head.encode(), _content(part, fill, node_id)))

    digest = hashlib.sha256()
    for head_bytes, content in pieces:
        digest.update(head_bytes)
        digest.update(content if isinstance(content, bytes) else str(content).encode())
    boundary = f"pg-durable-{digest.hexdigest()[:40]}"
    body: list[bytes | Text] = []
    for head_bytes, content in pieces:
        body += [b"--%b\r\n%b\r\n" % (boundary.encode(), head_bytes), content, b"\r\n"]
    body.append(b"--%b--\r\n" % boundary.encode())
    return f"multipart/form-data; boundary={boundary}", tuple(body)


def _content(part: Part, fill: Callable[[str], str], node_id: str) -> bytes | Text:
    if part.data_b64 is None:
        return Text.of(part.data or "", fill)
    try:
        place = f"HTTP_MULTIPART node {node_id}: data_b64 for part '{part.name}'"
        return decode(part.data_b64, fill, place)
    except NotBase64 as error:
        raise InvalidWorkflow(f"Invalid base64 in part '{part.name}': {error}") from None


def _field(value: str, what: str, part: str) -> str:
    if _BREAKS.search(value):
        raise InvalidWorkflow(f"The {what} of part '{part}' contains a line break.")
    return value.replace('"', "%22")
