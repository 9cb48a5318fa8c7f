"""Fixtures of tests with workers."""

from collections.abc import AsyncIterator

import pytest

from support.database import Database


@pytest.fixture
async def user(db: Database) -> AsyncIterator[Database]:
    """A session of an ordinary role, spec_user, that may use df and create tables."""
    await db.rows("create role spec_user login")
    await db.rows("select df.grant_usage('spec_user')")
    await db.rows("grant create on schema public to spec_user")
    session = await db.connect_as("spec_user")
    yield session
    await session.close()
    await db.rows("drop owned by spec_user")
    await db.rows("drop role spec_user")
