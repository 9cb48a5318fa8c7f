"""The operating-system user the server runs as.

PostgreSQL refuses to run as root. Root's server therefore runs as an unprivileged user
that already exists; no user is made. Everyone else's server runs as themselves.
"""

import os
import pwd
from dataclasses import dataclass
from pathlib import Path

from pg_durable.errors import EmbeddedError

USER_VARIABLE = "PG_DURABLE_SERVER_USER"
_USUAL_USERS = ("postgres", "nobody")


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A user and their primary group; `borrowed` when they are not the invoking user."""

    name: str
    uid: int
    gid: int
    borrowed: bool


def invoking_user() -> str:
    """Return the name of the user this process runs as."""
    return _entry(os.geteuid()).pw_name


def server_account(data: Path) -> Account:
    """Choose the user to run the server of this data directory.

    A cluster keeps the user it was made by: files of another owner would be refused.

    Raises:
        EmbeddedError: we are root and there is no user to run the server as.
    """
    if os.geteuid() != 0:
        return _account(_entry(os.geteuid()), borrowed=False)
    made = (data / "PG_VERSION").exists()
    entry = _entry(data.lstat().st_uid) if made else _unprivileged_entry()
    if entry.pw_uid == 0:
        raise EmbeddedError(
            f"PostgreSQL does not run as root, but {data} or {USER_VARIABLE} asks for it.",
            hint=f"Give {data} to an ordinary user, or name one in {USER_VARIABLE}.",
        )
    return _account(entry, borrowed=True)


def _unprivileged_entry() -> pwd.struct_passwd:
    named = os.environ.get(USER_VARIABLE)
    for name in (named,) if named else _USUAL_USERS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise EmbeddedError(
        f"PostgreSQL does not run as root, and there is no user {named or 'postgres or nobody'}.",
        hint=f"Name an existing unprivileged user in {USER_VARIABLE}.",
    )


def _entry(uid: int) -> pwd.struct_passwd:
    try:
        return pwd.getpwuid(uid)
    except KeyError:
        raise EmbeddedError(
            f"The operating system knows no name for user id {uid}; PostgreSQL needs one.",
            hint="Run as a user listed in /etc/passwd, or add this one to it.",
        ) from None


def _account(entry: pwd.struct_passwd, *, borrowed: bool) -> Account:
    return Account(name=entry.pw_name, uid=entry.pw_uid, gid=entry.pw_gid, borrowed=borrowed)
