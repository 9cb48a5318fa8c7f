"""A PostgreSQL server of one's own: no installation, no administrator, no open port.

An `EmbeddedServer` lives in one directory and runs while somebody owns it. Owners are
processes holding a shared lock; a keeper process runs the server, starts it again when it
dies, and stops it when the last owner is gone, however that owner went.

    owner ──flock(shared)──┐
    owner ──flock(shared)──┴── owners.lock ──flock(exclusive)── keeper ──child── postgres

| module    | what it holds                                                    |
|-----------|------------------------------------------------------------------|
| server    | the owner's side: start, release, the connection string          |
| keeper    | the process between the owners and PostgreSQL                     |
| contract  | what an owner and its keeper say to each other                   |
| cluster   | initdb, access rules, the command line                           |
| processes | which processes serve a data directory, and how to end them      |
| children  | running a program as the server's user                           |
| binaries  | where initdb and postgres are                                    |
| account   | the operating-system user PostgreSQL runs as                     |
| places    | the files of one directory, and where its socket goes            |
| locks     | flock                                                            |
"""

from pg_durable.embedded.binaries import Binaries, find_binaries
from pg_durable.embedded.places import default_directory
from pg_durable.embedded.server import EmbeddedServer, running_dsn

__all__ = ["Binaries", "EmbeddedServer", "default_directory", "find_binaries", "running_dsn"]
