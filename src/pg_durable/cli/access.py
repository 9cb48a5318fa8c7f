"""What must be added so that a worker gets the sessions of all roles: lines, and statements."""

import getpass
import re
from dataclasses import dataclass, field

from pg_durable.client import Logins, Place, Rule, Tried

MAP = "pgdurable"

_KEYWORDS = ("all", "sameuser", "samerole", "samegroup", "replication")
_RESERVED = (
    " all analyse analyze and any array as asc asymmetric authorization binary both case cast check"
    " collate collation column concurrently constraint create cross current_catalog current_date"
    " current_role current_schema current_time current_timestamp current_user default deferrable"
    " desc distinct do else end except false fetch for foreign freeze from full grant group having"
    " ilike in initially inner intersect into is isnull join lateral leading left like limit"
    " localtime localtimestamp natural not notnull null offset on only or order outer overlaps"
    " placing primary references returning right select session_user similar some symmetric"
    " system_user table tablesample then to trailing true union unique user using variadic verbose"
    " when where window with "
)
_ASKED = "28P01"  # SQLSTATE: the server asked for a password, and got none or a wrong one
_TOO_MANY = "53300"  # connections
_REGEX_SINCE = 160000  # a name with a slash in front is a regular expression in these files


@dataclass(slots=True)
class _Missing:
    """What to add to which file, and what to run as a superuser."""

    place: Place
    ident: list[str] = field(default_factory=list)
    hba: list[str] = field(default_factory=list)
    passwords: list[str] = field(default_factory=list)
    statements: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """All of it, each part under a heading."""
        files = (
            (self.place.ident_file or "pg_ident.conf", self.ident),
            (f"{self.place.hba_file or 'pg_hba.conf'}, above other lines of the type", self.hba),
            ("the worker's password file (PGPASSFILE or ~/.pgpass, mode 0600)", self.passwords),
        )
        lines = []
        for name, added in files:
            if added:
                lines += [f"# {name}", *dict.fromkeys(added)]
        if self.ident or self.hba:
            self.statements.append("select pg_reload_conf();")
        if self.statements:
            lines += ["-- as a superuser", *self.statements]
        return lines

    def for_role(self, tried: Tried) -> None:
        """Add what a role needs whose steps cannot run."""
        role = identifier(tried.role)
        if not tried.connect:
            database = identifier(self.place.database)
            self.statements.append(f"grant connect on database {database} to {role};")
        elif not tried.may_set:
            # Without the rights of the role outside of its steps, where that can be said.
            how = " with inherit false, set true" if self.place.server >= 160000 else ""
            self.statements.append(f"grant {role} to {identifier(self.place.worker)}{how};")
        elif tried.refused is not None:
            self._for_refused(tried, tried.refused.sqlstate)

    def _for_refused(self, tried: Tried, sqlstate: str | None) -> None:
        if sqlstate == _TOO_MANY:
            return
        if sqlstate == _ASKED:
            if tried.expired:
                role = identifier(tried.role)
                self.statements.append(f"alter role {role} valid until 'infinity';")
            self.passwords.append(password_line(self.place, tried.role))
        elif self.place.address is None:
            self._over_socket(tried.role)
        else:
            self._over_tcp(tried.role, self.place.address)

    def _over_socket(self, role: str) -> None:
        """Let the worker's user of the operating system, who is ours, vouch for it."""
        rule = _first_rule(self.place, role)
        by_peer = rule is not None and rule.auth_method == "peer"
        named = _map(rule) if rule is not None and by_peer else None
        word = self._word(role)
        self.ident.append(f"{named or MAP}  {file_word(getpass.getuser(), 0)}  {word}")
        if named is None:
            if by_peer:
                self.ident.append(rf"{MAP}  /^(.*)$  \1")  # everybody as before: as themselves
            self.hba.append(f"local  {self._word(self.place.database)}  {word}  peer map={MAP}")

    def _over_tcp(self, role: str, address: str) -> None:
        network = f"{address}/{128 if ':' in address else 32}"
        whom = f"{self._word(self.place.database)}  {self._word(role)}  {network}"
        if self.place.ssl and self.place.certificate:
            self.ident.append(f"{MAP}  CN-OF-THE-CERTIFICATE  {self._word(role)}")
            self.hba.append(f"hostssl  {whom}  cert map={MAP}")
        else:
            kind = "hostssl" if self.place.ssl else "host"
            self.hba.append(f"{kind}  {whom}  scram-sha-256")
            self.passwords.append(password_line(self.place, role))

    def _word(self, name: str) -> str:
        return file_word(name, self.place.server)


def missing(logins: Logins) -> list[str]:
    """What to add to which file, and what to run, for the roles that do not work."""
    found = _Missing(logins.place)
    if not logins.place.is_worker:
        found.statements.append(f"select df.grant_worker({literal(logins.place.worker)});")
    for tried in logins.tried:
        if not tried.works:
            found.for_role(tried)
    return found.lines()


def _first_rule(place: Place, role: str) -> Rule | None:
    """The rule that a login over the socket meets, where that is plain to see."""
    for rule in place.rules or ():
        if rule.type != "local":
            continue
        plain = not any(word.startswith(("+", "/", "same")) for word in rule.user_name)
        for_database = {"all", place.database} & set(rule.database)
        for_role = {"all", role} & set(rule.user_name)
        if not plain or any(word.startswith(("/", "same")) for word in rule.database):
            return None
        if for_database and for_role:
            return rule
    return None


def _map(rule: Rule) -> str | None:
    maps = [option.removeprefix("map=") for option in rule.options if option.startswith("map=")]
    return maps[0] if maps else None


def password_line(place: Place, role: str) -> str:
    """A line of a password file, where a backslash takes the meaning from a colon."""
    host, database, user = (
        re.sub(r"([:\\])", r"\\\1", word) for word in (place.host, place.database, role)
    )
    return f"{host}:{place.port}:{database}:{user}:PASSWORD"


def file_word(name: str, server: int) -> str:
    """A name as it goes into pg_hba.conf and pg_ident.conf.

    In quotes it is no keyword; a slash in front makes it a regular expression even there.
    """
    if server >= _REGEX_SINCE and name.startswith("/"):
        name = f"/^{re.escape(name)}$"
    elif re.fullmatch(r"[a-z0-9_]+", name) and name not in _KEYWORDS:
        return name
    return '"' + name.replace('"', '""') + '"'


def identifier(name: str) -> str:
    """A name as it goes into a statement."""
    if re.fullmatch(r"[a-z_][a-z0-9_]*", name) and f" {name} " not in _RESERVED:
        return name
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text as it goes into a statement."""
    return "'" + text.replace("'", "''") + "'"
