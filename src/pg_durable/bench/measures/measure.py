"""What a measure is."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pg_durable.bench.figures import Reading
from pg_durable.bench.lab import Lab


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One thing to be measured; several quantities may come of it.

    Attributes:
        name: for the command line, and the beginning of the names of its readings.
        means: one line for people.
        run: does it once, and tells each quantity as soon as it is known.
        once: it takes long, so that it is done in the first run only, unless asked for by name.
    """

    name: str
    means: str
    run: Callable[[Lab], Iterable[Reading]]
    once: bool = False
