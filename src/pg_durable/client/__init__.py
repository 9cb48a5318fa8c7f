"""What a program does with workflows: start, watch, await and cancel them, as its own role.

    async with await Client.connect("dbname=shop") as client:
        instance = await client.start("'select 1' ~> 'select 2'", label="first")
        await client.wait(instance, timeout=60)
        print(await client.result(instance))

Everything goes through the public functions and tables of `df`, so row security holds:
a role sees its own instances, a superuser all. Every error is one of `pg_durable.errors`.

| module   | what it holds                                                     |
|----------|-------------------------------------------------------------------|
| client   | `Client`, a session with one database                             |
| queries  | what it asks the server                                           |
| rows     | what it returns: `Instance`, `Node`, `Page`                       |
| failures | PostgreSQL's errors as ours, with what to do about them           |
"""

from pg_durable.client.client import Client, probe
from pg_durable.client.rows import ENDED, Instance, Node, Page

__all__ = ["ENDED", "Client", "Instance", "Node", "Page", "probe"]
