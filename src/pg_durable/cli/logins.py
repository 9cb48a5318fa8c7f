"""What `pg-durable doctor` makes of the logins that it tried."""

from dataclasses import asdict

from pg_durable.cli.access import identifier, missing
from pg_durable.cli.diagnosis import Check, State, listed
from pg_durable.client import Logins, Tried


def check_logins(logins: Logins) -> Check:
    """Judge whether a worker gets the sessions of all roles that may have workflows."""
    place, tried = logins.place, logins.tried
    failing = [role for role in tried if not role.works]
    facts = {
        "identity": logins.identity,
        "worker": place.worker,
        "roles": [{**asdict(role), "works": role.works} for role in tried],
    }
    way = "take" if logins.identity == "set_role" else "log in as"
    if failing or not place.is_worker:
        found = [f"not as {identifier(role.role)}: {_why(role, logins)}" for role in failing]
        if not place.is_worker:
            found.insert(0, f"role {identifier(place.worker)} is no worker's")
        said = f"a worker cannot {way} each role; {listed(found)}" if failing else found[0]
        return Check("logins", State.problem, said, "To do:", facts, missing(logins))
    if logins.identity == "set_role" and place.worker_is_superuser:
        said = f"the worker's role {identifier(place.worker)} is a superuser, and with it each step"
        advice = "Give the workers a role of their own; see df.grant_worker."
        return Check("logins", State.warning, said, advice, facts)
    said = f"a worker may {way} {_each(len(tried))} that may have workflows"
    return Check("logins", State.ok, said, facts=facts)


def _why(role: Tried, logins: Logins) -> str:
    if not role.connect:
        return f"it may not connect to database {identifier(logins.place.database)}"
    if role.refused is None:
        return f"{identifier(logins.place.worker)} may not SET ROLE to it"
    return role.refused.said.rpartition("failed: ")[2].removeprefix("FATAL:").strip()


def _each(number: int) -> str:
    return f"each of {number} roles" if number > 1 else "the one role" if number else "each role"
