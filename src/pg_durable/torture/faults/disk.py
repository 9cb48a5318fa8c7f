"""A disk without room.

Where the harness may mount a file system of its own (as root, on Linux), that one is filled to the
last byte. Elsewhere the files of the server's sessions are limited in size by the kernel, which
fails in the same places, with another errno.
"""

import asyncio
import os
import random
import resource
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from pg_durable.torture.faults.base import Fault

if TYPE_CHECKING:
    from pg_durable.torture.arena import Arena

_BLOCK = 64 * 1024
_LARGEST_FILE = 256 * 1024


class DiskFull(Fault):
    """No room is left on the server's disk."""

    async def inject(self, arena: "Arena", seconds: float, dice: random.Random) -> None:
        """See `Fault`."""
        if arena.server.own_disk:
            await _fill(arena.server.directory / f"ballast-{dice.getrandbits(32)}", seconds)
        else:
            await _limit_files(arena, seconds)


async def _fill(ballast: Path, seconds: float) -> None:
    end = asyncio.get_running_loop().time() + seconds
    descriptor = os.open(ballast, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    try:
        while asyncio.get_running_loop().time() < end:
            for size in (64 * _BLOCK, _BLOCK, 4096):
                with suppress(OSError):
                    while os.write(descriptor, bytes(size)):
                        pass
            await asyncio.sleep(0.02)  # whatever becomes free
    finally:
        os.close(descriptor)
        os.unlink(ballast)  # noqa: PTH108 -- it does not block


async def _limit_files(arena: "Arena", seconds: float) -> None:
    limited: dict[int, int] = {}  # the hard limit by process
    end = asyncio.get_running_loop().time() + seconds
    try:
        while asyncio.get_running_loop().time() < end:
            for process in arena.server.processes():
                if process.pid not in limited:
                    _, hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
                    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (_LARGEST_FILE, hard))
                    limited[process.pid] = hard
            await asyncio.sleep(0.05)
    except (OSError, psutil.Error):
        pass
    finally:
        for pid, hard in limited.items():
            with suppress(OSError):
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))
