"""References to secrets within a template: `{{secret:name:reference}}`, as `df.secret` writes them.

Only the text that the author of a workflow wrote is searched for them, before any name or variable
is filled in: a value or a response that holds such a reference can never pull a secret out.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple
from urllib.parse import quote, quote_plus

from pg_durable.errors import ReferenceFailed

_REFERENCE = re.compile(r"\{\{secret:([A-Za-z_][A-Za-z0-9_.-]*):([0-9a-f]{16})\}\}")
# Shorter values are likely to occur by chance, and are not worth hiding.
_SHORTEST_HIDDEN = 6


class Secret(NamedTuple):
    """Which secret; the reference is known only to those who may use it."""

    name: str
    reference: str

    def __str__(self) -> str:
        return f"{{{{secret:{self.name}}}}}"


class Text(NamedTuple):
    """A filled-in text whose secrets are still sealed."""

    pieces: tuple[str | Secret, ...]

    @classmethod
    def of(cls, template: str, fill: Callable[[str], str] = str) -> "Text":
        """Set the secrets of a template apart, and fill in the rest."""
        parts = _REFERENCE.split(template)
        pieces: list[str | Secret] = [fill(parts[0])]
        for at in range(1, len(parts), 3):
            pieces += [Secret(parts[at], parts[at + 1]), fill(parts[at + 2])]
        return cls(tuple(pieces))

    @property
    def secrets(self) -> list[Secret]:
        """Those that it needs."""
        return [piece for piece in self.pieces if isinstance(piece, Secret)]

    def reveal(self, values: Mapping[Secret, str]) -> str:
        """The text with its secrets.

        Raises:
            ReferenceFailed: one of them is not there any more.
        """
        return "".join(
            _value(piece, values) if isinstance(piece, Secret) else piece for piece in self.pieces
        )

    def __str__(self) -> str:
        return "".join(map(str, self.pieces))


def hide(text: str, values: Mapping[Secret, str]) -> str:
    """Put the names of secrets in the place of their values, as somebody may send them back: as
    they are, within JSON, or percent-encoded."""
    for secret, value in sorted(values.items(), key=lambda item: -len(item[1])):
        if len(value) >= _SHORTEST_HIDDEN:
            for form in _forms(value):
                text = text.replace(form, str(secret))
    return text


def _forms(value: str) -> tuple[str, ...]:
    in_json, in_ascii = (
        json.dumps(value, ensure_ascii=only_ascii)[1:-1] for only_ascii in (False, True)
    )
    return value, in_json, in_ascii, quote(value), quote(value, safe=""), quote_plus(value)


def _value(secret: Secret, values: Mapping[Secret, str]) -> str:
    if secret not in values:
        raise ReferenceFailed(
            f"Secret '{secret.name}' has been dropped since the workflow was built.",
            hint="Set it with df.set_secret, and build the workflow anew.",
        )
    return values[secret]
