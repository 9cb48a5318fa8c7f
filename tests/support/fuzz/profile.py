"""How much is tried: the same few examples in each `make test`, random ones in `make test-long`."""

import os
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, Phase, settings

# How many times the examples of `make test`.
DEPTH = int(os.environ.get("PG_DURABLE_FUZZ_DEPTH", "1"))


def examples(count: int) -> Callable[[Any], Any]:
    """Try so many examples; deeper runs try others each time, and print how to see one again."""
    return settings(
        max_examples=count * DEPTH,
        deadline=None,
        derandomize=DEPTH == 1,
        database=None,
        print_blob=True,
        phases=(Phase.explicit, Phase.generate),  # to shrink what hangs would take for ever
        suppress_health_check=list(HealthCheck),
    )
