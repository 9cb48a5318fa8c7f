"""Two network namespaces joined by a cable, to be pulled out: packets vanish, and nobody is told.
A proxy cannot do that, for its machine acknowledges whatever it gets.

It takes root, `ip`, and a kernel that lets namespaces be made.
"""

import ctypes
import itertools
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

_SERVER, _CLIENT = "10.213.0.1", "10.213.0.2"  # nobody else's: both are in the namespaces alone
_CLONE_NEWNET = 0x40000000
_NAMES = Path("/run/netns")
_numbers = itertools.count(1)


class Cable:
    """A server's and a client's namespace, joined; a context manager."""

    def __init__(self) -> None:
        name = f"pgd{os.getpid()}n{next(_numbers)}"
        self._server, self._client = f"{name}s", f"{name}c"

    @staticmethod
    def possible() -> bool:
        """Whether namespaces can be made here."""
        if os.geteuid() != 0 or shutil.which("ip") is None:
            return False
        try:
            with Cable():
                return True
        except subprocess.CalledProcessError:
            return False

    def listen(self) -> socket.socket:
        """A listening socket on the server's side, for a `Proxy` that runs out here."""
        made: list[socket.socket] = []

        def listen() -> None:
            # A socket stays in the namespace in which its thread was when it made it.
            with (_NAMES / self._server).open() as namespace:
                libc = ctypes.CDLL(None, use_errno=True)
                if libc.setns(namespace.fileno(), _CLONE_NEWNET) == 0:
                    made.append(socket.create_server((_SERVER, 0), backlog=128))

        thread = threading.Thread(target=listen)
        thread.start()
        thread.join()
        return made[0]

    def command(self, command: Sequence[str]) -> list[str]:
        """The command line that runs a program on the client's side."""
        return ["ip", "netns", "exec", self._client, *command]

    def pull(self) -> None:
        """Let all packets vanish."""
        _ip("-n", self._server, "link", "set", "cable", "down")

    def plug(self) -> None:
        """Let them pass again."""
        _ip("-n", self._server, "link", "set", "cable", "up")

    def __enter__(self) -> Self:
        try:
            _ip("netns", "add", self._server)
            _ip("netns", "add", self._client)
            _ip("-n", self._server, "link", "add", "cable", "type", "veth",
                "peer", "name", "cable", "netns", self._client)  # fmt: skip
            for name, address in ((self._server, _SERVER), (self._client, _CLIENT)):
                _ip("-n", name, "address", "add", f"{address}/24", "dev", "cable")
                _ip("-n", name, "link", "set", "cable", "up")
                _ip("-n", name, "link", "set", "lo", "up")
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._remove()

    def _remove(self) -> None:
        for name in (self._server, self._client):
            if (_NAMES / name).exists():
                _ip("netns", "delete", name)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
