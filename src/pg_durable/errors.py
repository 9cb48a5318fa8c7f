"""Every error of ours, with its SQLSTATE.

PgDurableError
├── InvalidWorkflow   WF001  a graph, name or argument that cannot be run
├── LeaseLost         WF002  another worker, or a cancellation, owns the node now
├── NotFound          WF003  no such instance, or not the caller's
├── NotAllowed        WF004  the caller, or this place, may not do that
├── WaitTimeout       WF005  the awaited thing did not happen in time
├── SchemaMismatch    WF006  a schema that this program cannot work with
│   └── SchemaNotReady       … absent or older: installing it is all it needs
├── LimitExceeded     WF007  a documented limit; the message names its setting
├── ReferenceFailed   WF008  a $name or {variable} that cannot be filled in
├── StepRefused       WF009  a statement that cannot be a step
├── ServerUnavailable WF010  no connection to the PostgreSQL server
├── EmbeddedError     WF011  the embedded server cannot be set up or started
├── ExtensionError    WF012  the extension's files cannot be put on the server
└── RequestFailed     WF013  an HTTP request without a usable answer

The `df` functions raise the same SQLSTATEs, so a client in any language can tell
one cause from another without reading the text.
"""

from typing import ClassVar


class PgDurableError(Exception):
    """Base of all our errors: a sentence that names the thing, its value and the way out."""

    sqlstate: ClassVar[str] = "WF000"

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}" if self.hint else self.message


class InvalidWorkflow(PgDurableError):
    """A graph, name or argument that cannot be run."""

    sqlstate = "WF001"


class LeaseLost(PgDurableError):
    """The claim on the instance is gone; nothing of the step was committed."""

    sqlstate = "WF002"


class NotFound(PgDurableError):
    """No such instance, or not one the caller may see."""

    sqlstate = "WF003"


class NotAllowed(PgDurableError):
    """The caller, or this place, may not do that."""

    sqlstate = "WF004"


class WaitTimeout(PgDurableError):
    """The awaited thing did not happen in time."""

    sqlstate = "WF005"


class SchemaMismatch(PgDurableError):
    """The `df` schema is not one that this program can work with."""

    sqlstate = "WF006"


class SchemaNotReady(SchemaMismatch):
    """The `df` schema is absent, or older than this program: it may come."""


class LimitExceeded(PgDurableError):
    """A documented limit was exceeded; the message names its setting."""

    sqlstate = "WF007"


class ReferenceFailed(PgDurableError):
    """A `$name` or `{variable}` in a step's text cannot be filled in."""

    sqlstate = "WF008"


class StepRefused(PgDurableError):
    """A statement that cannot be a step, whatever its rights."""

    sqlstate = "WF009"


class ServerUnavailable(PgDurableError):
    """No connection to the PostgreSQL server can be had."""

    sqlstate = "WF010"


class EmbeddedError(PgDurableError):
    """The embedded server cannot be set up or started."""

    sqlstate = "WF011"


class ExtensionError(PgDurableError):
    """The extension's files cannot be put on the server."""

    sqlstate = "WF012"


class RequestFailed(PgDurableError):
    """An HTTP request that got no answer, or none that can be used."""

    sqlstate = "WF013"
