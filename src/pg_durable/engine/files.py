"""How many files and connections this process may have open."""

import contextlib
import resource

_WANTED = 65_536  # more than the settings of several databases let a worker need


def allow_open_files() -> None:
    """Raise the limit as far as the operating system lets us: many begin with 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _WANTED
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
