"""A start in mode 'new' that waits for half a minute; run by `make test-long`."""

import tempfile
from pathlib import Path

import psycopg
import pytest

from support.launcher import build_library, launched


async def test_a_lock_that_is_not_had_in_thirty_seconds_ends_the_start() -> None:
    with (
        tempfile.TemporaryDirectory(prefix="pg_durable_library_") as built,
        tempfile.TemporaryDirectory(prefix="pg_durable_launcher_") as folder,
        launched(Path(folder), build_library(Path(built)), pg_durable__worker_command="") as server,
    ):
        holder, starter = await server.connect(), await server.connect()
        await holder.rows("begin")
        await holder.rows("lock df.instances")

        with pytest.raises(psycopg.Error) as caught:
            await starter.scalar("select df.start('select 1', transaction_mode => 'new')")

        await holder.close()
        await starter.close()
    assert (caught.value.sqlstate, caught.value.diag.message_primary) == (
        "WF005",
        "pg_durable: transaction_mode => 'new' launch hit lock_timeout after 30000ms "
        "while waiting on a lock in the loopback session: canceling statement due to lock timeout",
    )
