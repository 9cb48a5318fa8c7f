"""What the tests of the extension share."""

import itertools
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from pg_durable.embedded import EmbeddedServer

_numbers = itertools.count(1)


@pytest.fixture
def roles(extension_server: EmbeddedServer) -> Iterator[list[str]]:
    """Names of roles that may log in, dropped with the databases that are theirs: two."""
    names = [f"role_{next(_numbers)}", f"role_{next(_numbers)}"]
    with psycopg.connect(extension_server.dsn(), autocommit=True) as admin:
        for name in names:
            admin.execute(sql.SQL("create role {} login").format(sql.Identifier(name)))
        yield names
        for name in names:
            admin.execute(sql.SQL("drop role {}").format(sql.Identifier(name)))
