"""What kind of statement a step has, and which queries a session meets again and again."""

import re
from itertools import count

# Space and comments as PostgreSQL reads them, but for comments within comments: then no word is
# found, and the statement is one of no kind.
_FIRST_WORD = re.compile(r"(?>[ \t\n\r\f\v]|--[^\n\r]*|/\*(?:[^*/]|\*(?!/)|/(?!\*))*\*/)*+(\w+)")
# What begins with one of these reads or changes rows and nothing else: it can be prepared, it runs
# in a snapshot from its first moment, and so it cannot change how its transaction is isolated.
QUERIES = frozenset({"select", "insert", "update", "delete", "merge", "with", "values", "table"})
# What may turn out to commit inside.
MAY_COMMIT = frozenset({"call", "do"})

# How often a session meets a statement before it is prepared: from then on that pays.
_OFTEN = 5
# The cleaning after a step looks through what the session has prepared.
_MOST_PREPARED = 32
_LONGEST = 8192  # characters
_MOST_COUNTED = 1024


def first_word(text: str) -> str:
    """The word that a statement begins with, in lower case; empty where there is none."""
    found = _FIRST_WORD.match(text)
    return "" if found is None else found[1].lower()


class Repeated:
    """The queries that are prepared in one session.

    Parsing and planning a short query takes about as long as running it. A session is closed after
    `lane_max_age`, so what was prepared first need not make way for what comes often later.
    """

    def __init__(self) -> None:
        self._names: dict[str, bytes | None] = {}  # by text; None: not to be prepared
        self._met: dict[int, int] = {}  # how often, by the hash of the text
        self._number = count(1)

    def name(self, query: str) -> bytes | None:
        """The name under which a query is prepared."""
        return self._names.get(query)

    def meet(self, query: str) -> bytes | None:
        """Count a query that is not prepared; the name under which to prepare it now, if at all."""
        if len(query) > _LONGEST or len(self._names) == _MOST_PREPARED or query in self._names:
            return None
        key = hash(query)
        times = self._met.pop(key, 0) + 1
        if times < _OFTEN:
            if len(self._met) == _MOST_COUNTED:
                self._met.clear()
            self._met[key] = times
            return None
        name = self._names[query] = b"pg_durable_query_%d" % next(self._number)
        return name

    def give_up(self, query: str) -> None:
        """Not to be prepared any more in this session."""
        self._names[query] = None
