"""What kind of statement a step has; queries that come again and again, which are prepared."""

import re

from psycopg import pq
from psycopg.pq.abc import PGresult

from pg_durable.wire import Wire

# Space and comments as PostgreSQL reads them, but for comments within comments: then no word is
# found, and the statement is one of no kind.
_FIRST_WORD = re.compile(r"(?>[ \t\n\r\f\v]|--[^\n\r]*|/\*(?:[^*/]|\*(?!/)|/(?!\*))*\*/)*+(\w+)")
# What begins with one of these reads or changes rows and nothing else: it can be prepared, it runs
# in a snapshot from its first moment, and so it cannot change how its transaction is isolated.
QUERIES = frozenset({"select", "insert", "update", "delete", "merge", "with", "values", "table"})
# What may turn out to commit inside.
MAY_COMMIT = frozenset({"call", "do"})

# What the server turns into a constant when it parses a query, to be found anew in each run: 'now'
# and its like as times, roles and functions by name; and what could be a way to write one of these.
_CONSTANT_TOO_EARLY = re.compile(
    r"\b(?:now|today|tomorrow|yesterday)\b(?!\s*\()"
    r"|\breg(?:class|collation|config|database|dictionary|namespace|oper(?:ator)?|proc(?:edure)?"
    r"|role|type)\b"
    r"|\\|\bu&",
    re.IGNORECASE,
)
# Where the server refuses to run a prepared query, before it does: its columns are others than they
# were, a step has deallocated it, or it lacks parameters, of which it says more than it should.
_REFUSING = frozenset({b"RevalidateCachedQuery", b"FetchPreparedStatement", b"exec_bind_message"})

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


class Queries:
    """The queries of one session.

    Parsing and planning a short query takes about as long as running it. A session is not used any
    more after `lane_max_age`, so what was prepared first, or in vain, need not make way for what
    comes often later.
    """

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._names: dict[str, bytes | None] = {}  # of what is prepared; None: not to be
        self._met: dict[int, int] = {}  # how often, by the hash of the text

    def execute(self, query: str) -> int:
        """Queue a query; returns how many statements before it prepare it."""
        if (name := self._names.get(query)) is not None:
            self._wire.execute_prepared(name)
        elif self._is_met_often(query):
            name = self._names[query] = self._wire.prepare_anew(query, b"pg_durable_query")
            self._wire.execute_prepared(name)
            return 1
        else:
            self._wire.execute(query)
        return 0

    def give_up(self, query: str, failed: PGresult) -> bool:
        """Whether a query has failed because it was prepared; it is not any more, then."""
        if (
            self._names.get(query) is None
            or failed.error_field(pq.DiagnosticField.SOURCE_FUNCTION) not in _REFUSING
            or failed.error_field(pq.DiagnosticField.CONTEXT) is not None  # in a function of it
        ):
            return False
        self._names[query] = None
        return True

    def _is_met_often(self, query: str) -> bool:
        if len(query) > _LONGEST or len(self._names) == _MOST_PREPARED or query in self._names:
            return False
        key = hash(query)
        times = self._met.pop(key, 0) + 1
        if times == _OFTEN:
            if _CONSTANT_TOO_EARLY.search(query) is None:
                return True
            self._names[query] = None
            return False
        if len(self._met) == _MOST_COUNTED:
            self._met.clear()
        self._met[key] = times
        return False
