"""Programs run as the server's user, which do not outlive the keeper that runs them."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from pg_durable.embedded.account import Account

# The owner's environment may hold secrets, and variables that change what initdb makes.
_PASSED_ON = ("PATH", "TZ", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def start_child(
    account: Account,
    command: Sequence[str | Path],
    *,
    output: int,
    at_our_death: signal.Signals,
    descriptors: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start a program as `account`, in /, with both its outputs in one.

    It is sent `at_our_death` when the calling *thread* ends, so call it from the main one.
    """
    borrowed = account.borrowed
    passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        cwd="/",
        env=passed_on | {"LC_ALL": "C"},
        user=account.uid if borrowed else None,
        group=account.gid if borrowed else None,
        extra_groups=[] if borrowed else None,  # root's other groups must not remain
        pass_fds=descriptors,
        preexec_fn=_to_be_signalled(at_our_death),
    )


def reaches(account: Account, path: Path) -> bool:
    """Whether the user can enter the directory, or run the program, at `path`.

    A process running as that user is asked, for modes alone do not tell: there are
    access lists, mount options and security modules too.
    """
    if not account.borrowed:
        return os.access(path, os.X_OK)
    asked = start_child(
        account,
        ["test", "-x", path],
        output=subprocess.DEVNULL,
        at_our_death=signal.SIGKILL,
    )
    return asked.wait() == 0


def _to_be_signalled(number: signal.Signals) -> Callable[[], None] | None:
    """Return what a child does before it becomes the program, to be signalled at our death.

    It runs after the change of user, which would undo it. Only Linux has this; elsewhere a
    server that lost its keeper is ended by the next keeper, or the last owner's release.
    """
    if sys.platform != "linux":
        return None
    parent = os.getpid()

    def ask() -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
        if os.getppid() != parent:  # it died before we asked
            os._exit(1)

    return ask
