"""How many steps a process has run, in memory that its parent sees."""

import mmap
import os
import struct
from pathlib import Path
from threading import Lock

_FORMAT = struct.Struct("<Q")


class Tally:
    """A file of one number, which this process counts up."""

    def __init__(self, folder: Path) -> None:
        file = folder / str(os.getpid())
        file.write_bytes(bytes(_FORMAT.size))
        with file.open("r+b") as opened:
            self._memory = mmap.mmap(opened.fileno(), _FORMAT.size)
        self._lock = Lock()
        self._count = 0

    def add_one(self) -> None:
        """From any thread."""
        with self._lock:
            self._count += 1
            _FORMAT.pack_into(self._memory, 0, self._count)


def total(folder: Path) -> int:
    """What all processes have counted."""
    return sum(
        _FORMAT.unpack(content)[0]
        for file in folder.iterdir()
        if len(content := file.read_bytes()) == _FORMAT.size
    )
