"""Locks between processes that the kernel takes back when their holder dies.

`flock` belongs to the open file: two opens of one file in the same process exclude each
other like two processes do, and no descriptor of ours is inherited by a program we start.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SHARED = fcntl.LOCK_SH
EXCLUSIVE = fcntl.LOCK_EX


def open_lock(path: Path) -> int:
    """Open the lock file, making it if need be; the caller closes the descriptor."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def lock(descriptor: int, kind: int) -> None:
    """Wait for the lock as long as it takes; signals are served meanwhile."""
    fcntl.flock(descriptor, kind)


def try_lock(descriptor: int, kind: int) -> bool:
    """Take the lock if that needs no waiting. A refused attempt gives up a lock held before."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def unlock(descriptor: int) -> None:
    """Give up the lock, also on behalf of forked children that share the open file."""
    fcntl.flock(descriptor, fcntl.LOCK_UN)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the exclusive lock on `path` for the block."""
    descriptor = open_lock(path)
    try:
        lock(descriptor, EXCLUSIVE)
        yield
    finally:
        os.close(descriptor)


def is_held(path: Path) -> bool:
    """Whether somebody holds the exclusive lock on `path`.

    The question itself takes a shared lock for an instant, so whoever asks must know
    that nobody else tries for the exclusive one meanwhile, or that they try again.
    """
    descriptor = open_lock(path)
    try:
        return not try_lock(descriptor, SHARED)
    finally:
        os.close(descriptor)
