"""What a worker says on the standard error: one line per event."""

import logging
from collections.abc import Callable

from pg_durable.cli.output import one_line


class _OneLine(logging.Formatter):
    """An event is a line that steers no terminal, whatever a message or an exception holds."""

    def __init__(self, *, traces: bool, about: Callable[[], str]) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s")
        self._traces = traces
        self._about = about

    def format(self, record: logging.LogRecord) -> str:
        about = self._about()
        record.message = f"{about}: {record.getMessage()}" if about else record.getMessage()
        record.asctime = self.formatTime(record)
        error = record.exc_info[1] if record.exc_info else None
        said = "" if error is None else f": {type(error).__name__}: {error}"
        line = one_line(self.formatMessage(record) + said)
        if self._traces and record.exc_info:
            return f"{line}\n{self.formatException(record.exc_info)}"
        return line


def log_to_stderr(*, verbose: bool, quiet: bool, about: Callable[[], str] = lambda: "") -> None:
    """Set logging up. `verbose` adds details and the traces of errors; `quiet` wins. What `about`
    gives at the time of an event comes before it."""
    handler = logging.StreamHandler()
    handler.setFormatter(_OneLine(traces=verbose, about=about))
    logging.getLogger().addHandler(handler)
    level = logging.WARNING if quiet else logging.DEBUG if verbose else logging.INFO
    logging.getLogger("pg_durable").setLevel(level)
