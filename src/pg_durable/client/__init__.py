"""What a program does with workflows: start, watch, signal, await and cancel them, as its own role.

    async with await Client.connect("dbname=shop") as client:
        instance = await client.start("'select 1' ~> 'select 2'", label="first")
        await client.wait(instance, timeout=60)
        print(await client.result(instance))

Workflows are reached through the public functions and tables of `df`, so row security holds:
a role sees its own instances, a superuser all. Every error is one of `pg_durable.errors`.

| module   | what it holds                                                     |
|----------|-------------------------------------------------------------------|
| client   | `Client`, a session with one database                             |
| session  | the connection, and what holds for all that is asked on it        |
| queries  | what it asks the server                                           |
| rows     | what it returns: `Instance`, `Node`, `Page`                       |
| health   | `examine`, for the whole of a database                            |
| logins   | `try_logins`, for the sessions that steps need                    |
| failures | PostgreSQL's errors as ours, with what to do about them           |
"""

from pg_durable.client.client import Client
from pg_durable.client.health import (
    Engine,
    GivenBack,
    Health,
    Held,
    SeenRole,
    SeenWorker,
    Server,
    examine,
)
from pg_durable.client.logins import Logins, Place, Refused, Rule, Tried, try_logins
from pg_durable.client.rows import ENDED, Instance, Node, Page
from pg_durable.client.session import probe

__all__ = [
    "ENDED",
    "Client",
    "Engine",
    "GivenBack",
    "Health",
    "Held",
    "Instance",
    "Logins",
    "Node",
    "Page",
    "Place",
    "Refused",
    "Rule",
    "SeenRole",
    "SeenWorker",
    "Server",
    "Tried",
    "examine",
    "probe",
    "try_logins",
]
