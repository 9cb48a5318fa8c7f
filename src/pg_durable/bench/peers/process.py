"""One process of a peer: `python -m pg_durable.bench.peers.process MODULE FUNCTION SHAPE COUNT`.

The function `prepare` makes the peer's tables and hands over the work; `work` does it until it is
killed. Which database: $PG_DURABLE_DSN. The process ends with its standard input, so that it does
not outlive its parent.
"""

import importlib
import os
import sys
import threading


def _end_with_input() -> None:
    while os.read(0, 4096):
        pass
    os._exit(1)


def main() -> None:
    """Run the function of the module that is named."""
    module, function, shape, count = sys.argv[1:]
    threading.Thread(target=_end_with_input, daemon=True).start()
    run = getattr(importlib.import_module(module), function)
    run(os.environ["PG_DURABLE_DSN"], shape, int(count))


if __name__ == "__main__":
    main()
