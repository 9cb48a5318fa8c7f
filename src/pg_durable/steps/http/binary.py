"""Bytes within a configuration: base64, given as it is or as one whole reference."""

import base64
import binascii
import re
from collections.abc import Callable

from pg_durable.errors import InvalidWorkflow

_BLANKS = re.compile(r"[ \t\r\n\f\v]+")
_WHOLE = re.compile(
    r"\$[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)?\??|\{[A-Za-z_][A-Za-z0-9_]*\}"
)


def decode(text: str, fill: Callable[[str], str], place: str) -> bytes:
    """The bytes of a base64 text, or of the value that it refers to.

    `place` says whose text it is, should it be none of these.

    Raises:
        InvalidWorkflow: a reference among other text, or no base64.
        ReferenceFailed: the reference cannot be filled in.
    """
    text = text.strip(" \t\r\n\f\v")
    if _WHOLE.fullmatch(text):
        text = fill(text)
    elif "$" in text or "{" in text:
        raise InvalidWorkflow(
            f"{place} mixes a variable reference with other text. Only a whole-value reference is "
            "supported (e.g. data_b64 => '$result' or '{myvar}'), because splicing into base64 "
            "would corrupt the payload."
        )
    try:
        return base64.b64decode(_BLANKS.sub("", text).encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise NotBase64(str(error)) from error


class NotBase64(InvalidWorkflow):
    """A text is not base64 in the standard alphabet, with padding."""
