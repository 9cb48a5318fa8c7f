"""A process that must not outlive its parent: it ends when its input from there does.

The parent holds the other end of the input, which the kernel closes however the parent dies.
"""

import os
import sys
import threading


def end_with_input() -> None:
    """From now on, end this process at once when its standard input ends."""
    end_with(0)


def end_with(descriptor: int) -> None:
    """From now on, end this process at once when that input ends.

    A thread waits for that, so that nothing which keeps the event loop busy delays it. What
    the process holds is left as after a SIGKILL: nobody is there to wait for more.
    """
    threading.Thread(target=_wait_for_end, args=(descriptor,), name="lifeline", daemon=True).start()


def _wait_for_end(descriptor: int) -> None:
    try:
        while os.read(descriptor, 4096):
            pass
    except OSError:  # closed from the start: there is no parent to live for
        pass
    what = "the standard input" if descriptor == 0 else "the parent"
    print(f"{what} has ended, and the worker with it", file=sys.stderr, flush=True)
    os._exit(1)
