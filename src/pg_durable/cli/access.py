"""What must be added so that a worker gets the sessions of all roles: lines, and statements."""

import getpass
import re
from collections.abc import Sequence

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
_REGEX_SINCE = 160000  # a name with a slash in front is a regular expression in these files


def missing(logins: Logins) -> list[str]:
    """What to add to which file, and what to run, for the roles that do not work."""
    place = logins.place
    ident: list[str] = []
    hba: list[str] = []
    passwords: list[str] = []
    statements: list[str] = []
    if not place.is_worker:
        statements.append(f"select df.grant_worker({literal(place.worker)});")
    for tried in logins.tried:
        role = identifier(tried.role)
        if not tried.connect:
            database = identifier(place.database)
            statements.append(f"grant connect on database {database} to {role};")
        elif not tried.may_set:
            statements.append(_grant(place, role))
        elif tried.refused is not None:
            _let_in(place, tried, ident, hba, passwords, statements)

    files = (
        (place.ident_file or "pg_ident.conf", ident),
        (f"{place.hba_file or 'pg_hba.conf'}, above other lines of the same type", hba),
        ("the worker's password file (PGPASSFILE or ~/.pgpass, mode 0600)", passwords),
    )
    lines = [line for name, added in files if added for line in (f"# {name}", *_once(added))]
    if ident or hba:
        statements.append("select pg_reload_conf();")
    return lines + (["-- as a superuser", *statements] if statements else [])


def _grant(place: Place, role: str) -> str:
    # Without the rights of the role outside of its steps, where that can be said.
    how = " with inherit false, set true" if place.server >= 160000 else ""
    return f"grant {role} to {identifier(place.worker)}{how};"


def _let_in(
    place: Place,
    tried: Tried,
    ident: list[str],
    hba: list[str],
    passwords: list[str],
    statements: list[str],
) -> None:
    """Add what a refused login needs. Over a socket the worker's operating-system user vouches."""
    assert tried.refused is not None
    role, database = (file_word(name, place.server) for name in (tried.role, place.database))
    if tried.refused.sqlstate == "53300":
        return
    if tried.refused.sqlstate == "28P01":  # it asks for a password already
        if tried.expired:
            statements.append(f"alter role {identifier(tried.role)} valid until 'infinity';")
        passwords.append(password_line(place, tried.role))
        return
    if place.address is None:
        rule = _first_rule(place, tried.role)
        named = None if rule is None or rule.auth_method != "peer" else _map(rule)
        ident.append(f"{named or MAP}  {file_word(getpass.getuser(), 0)}  {role}")
        if named is None:
            if rule is not None and rule.auth_method == "peer":
                ident.append(f"{MAP}  /^(.*)$  \\1")  # everybody as before: as themselves
            hba.append(f"local  {database}  {role}  peer map={MAP}")
        return
    kind = "hostssl" if place.ssl else "host"
    address = f"{place.address}/{128 if ':' in place.address else 32}"
    if place.ssl and place.certificate:
        ident.append(f"{MAP}  CN-OF-THE-CERTIFICATE  {role}")
        hba.append(f"hostssl  {database}  {role}  {address}  cert map={MAP}")
    else:
        hba.append(f"{kind}  {database}  {role}  {address}  scram-sha-256")
        passwords.append(password_line(place, tried.role))


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


def _once(lines: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(lines))
