"""A process that must not outlive its parent: it ends when its standard input does.

The parent holds the other end of the input, which the kernel closes however the parent dies.
"""

import os
import sys
import threading


def end_with_input() -> None:
    """From now on, end this process at once when its standard input ends.

    A thread waits for that, so that nothing which keeps the event loop busy delays it. What
    the process holds is left as after a SIGKILL: nobody is there to wait for more.
    """
    threading.Thread(target=_wait_for_end, name="lifeline", daemon=True).start()


def _wait_for_end() -> None:
    try:
        while os.read(0, 4096):
            pass
    except OSError:  # closed from the start: there is no parent to live for
        pass
    print("the standard input has ended, and the worker with it", file=sys.stderr, flush=True)
    os._exit(1)
