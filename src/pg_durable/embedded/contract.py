"""What an owner and the keeper it starts say to each other.

The owner writes one plan to the keeper's input, the keeper one answer to its output. Then
they part: from there on only locks and the server's own files connect them.
"""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pg_durable.embedded.binaries import Binaries
from pg_durable.embedded.places import Places
from pg_durable.errors import EmbeddedError

_LONGEST_TRACE = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How to run the server; `listen` is None for the Unix socket alone."""

    places: Places
    binaries: Binaries
    listen: str | None
    port: int
    settings: Mapping[str, str]

    def to_json(self) -> str:
        """Write the plan as one JSON object, in ASCII: paths may hold bytes that are no UTF-8."""
        return json.dumps(
            {
                "directory": str(self.places.directory),
                "bin": str(self.binaries.bin),
                "version": self.binaries.version,
                "package_version": self.binaries.package_version,
                "listen": self.listen,
                "port": self.port,
                "settings": {name: str(value) for name, value in self.settings.items()},
            }
        )

    @classmethod
    def from_json(cls, text: str) -> "Plan":
        """Read what `to_json` wrote."""
        read = json.loads(text)
        return cls(
            places=Places(Path(read["directory"])),
            binaries=Binaries(
                bin=Path(read["bin"]),
                version=read["version"],
                package_version=read["package_version"],
            ),
            listen=read["listen"],
            port=read["port"],
            settings=read["settings"],
        )


class Answer:
    """The keeper's one answer; giving it lets go of the owner's pipe."""

    def ready(self) -> None:
        """Tell that the server accepts connections."""
        self._give({"state": "ready"})

    def busy(self) -> None:
        """Tell that another keeper is at work already."""
        self._give({"state": "busy"})

    def failed(self, error: EmbeddedError) -> None:
        """Tell why the server cannot be run; once `ready` is said, nobody hears it."""
        self._give({"state": "failed", "message": error.message, "hint": error.hint})

    def _give(self, answer: dict[str, str | None]) -> None:
        with contextlib.suppress(BrokenPipeError):  # a dead owner is noticed by its lock
            os.write(1, json.dumps(answer).encode())
        let_go(1)


def start_keeper(plan: Plan, patience: float) -> None:
    """Start a keeper and wait for its answer, up to some seconds.

    Returns also if another keeper is at work, or the patience ended: whether the server
    accepts connections has to be seen. The process started here ends at once, having
    forked the keeper, so that no owner is left with a child to wait for.

    Raises:
        EmbeddedError: the server cannot be run; the keeper's words, or its traceback.
    """
    path = plan.places.keeper_log
    append = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
    with os.fdopen(os.open(path, append, 0o600), "ab") as log:
        said_before = os.fstat(log.fileno()).st_size
        keeper = subprocess.Popen(
            [sys.executable, "-P", "-m", "pg_durable.embedded.keeper"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            cwd="/",
            start_new_session=True,
        )
    with keeper:
        try:
            said, _ = keeper.communicate(plan.to_json().encode(), timeout=patience)
        except subprocess.TimeoutExpired:
            return
    if not said:
        trace = path.read_bytes()[said_before:].decode(errors="replace").strip()
        raise EmbeddedError(
            f"The keeper of {plan.places.directory} ended without an answer.",
            hint=f"{path} says: {trace[-_LONGEST_TRACE:] or 'nothing.'}",
        )
    answer = json.loads(said)
    if answer["state"] == "failed":
        raise EmbeddedError(answer["message"], hint=answer["hint"])


def let_go(descriptor: int) -> None:
    """Replace a descriptor by /dev/null; closing it would give its number to the next file."""
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, descriptor)
    os.close(null)
