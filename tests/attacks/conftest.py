"""Two ordinary roles in one database: one minds its business, the other attacks it."""

from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest

from support.database import Database
from support.waiting import until
from support.workers import worker_here

VICTIM, ATTACKER = "attack_victim", "attack_attacker"


class Victim(NamedTuple):
    """A role with a variable, a secret, a finished workflow, and one that waits for a signal."""

    db: Database  # a superuser's session, to look behind the scenes
    session: Database
    done: str
    waiting: str
    node: str  # of `waiting`, the one that waits
    worker: int

    async def is_unharmed(self, *, same_worker: bool = True) -> None:
        """Everything is as it was, the waiting workflow ends as it should, and new ones run."""
        mine = self.session
        assert await mine.completed_rows(self.done) == [{"word": "hidden"}]
        assert await mine.scalar("select df.getvar('secret')") == "squirrel"
        secret = f"select name, value from df._secrets where owner = '{VICTIM}'::regrole"
        assert await self.db.rows(secret) == [("token", "tok-4711")]
        assert await mine.status(self.waiting) == "running"
        assert await mine.rows("select note from ledger") == [("before",)]

        await mine.rows("select df.signal(%s, 'go', '\"honest\"')", self.waiting)
        assert await mine.completed_rows(self.waiting) == [{"note": "squirrel honest"}]
        alive = await mine.start("'select 1 as alive'")
        assert await mine.completed_rows(alive) == [{"alive": 1}]
        assert await mine.rows("select note from ledger") == [("before",), ("squirrel honest",)]
        assert set(await mine.rows("select id from df.instances")) == {
            (self.done,), (self.waiting,), (alive,),
        }  # fmt: skip
        if same_worker:
            assert await self.db.rows("select worker from df._worker_epoch") == [(self.worker,)]


@pytest.fixture
async def attacker(db: Database) -> AsyncIterator[Database]:
    """A session of the attacker, who may use df and create objects in public and attic."""
    await db.rows(f"create role {ATTACKER} login")
    await db.rows(f"select df.grant_usage('{ATTACKER}')")
    await db.rows(f"grant create on schema public to {ATTACKER}")
    await db.rows(f"create schema attic authorization {ATTACKER}")
    await db.rows("grant usage on schema attic to public")
    session = await db.connect_as(ATTACKER)
    yield session
    await session.close()
    await db.rows(f"drop owned by {ATTACKER} cascade")
    await db.rows(f"drop role {ATTACKER}")


@pytest.fixture
async def victim(db: Database, database: str) -> AsyncIterator[Victim]:
    """The victim, with a worker in this process."""
    await db.rows(f"create role {VICTIM} login")
    await db.rows(f"select df.grant_usage('{VICTIM}')")
    await db.rows("create table ledger (note text)")
    await db.rows(f"alter table ledger owner to {VICTIM}")
    async with worker_here(database, poll_interval=0.2, max_attempts=3):
        session = await db.connect_as(VICTIM)
        await session.rows("select df.setvar('secret', 'squirrel')")
        await session.rows("select df.set_secret('token', 'tok-4711')")
        done = await session.start("'select ''hidden'' as word'", "secret label")
        waiting = await session.start(
            "'insert into ledger values (''before'')'"
            " ~> df.wait_for_signal('go') |=> 'go'"
            " ~> $$insert into ledger values ('{secret} ' || ($go::json ->> 'data'))"
            " returning note$$",
            "secret label",
        )
        await session.wait(done)

        async def parked() -> object:
            return await db.scalar("select due_at = 'infinity' from df.instances where id = %s",
                                   waiting)  # fmt: skip

        await until(parked)
        node = await db.scalar(
            "select id from df.nodes where instance_id = %s and node_type = 'SIGNAL'", waiting
        )
        worker = await db.scalar("select worker from df._worker_epoch")
        yield Victim(db, session, done, waiting, node, worker)
        await session.close()
    await db.rows(f"drop owned by {VICTIM} cascade")
    await db.rows(f"drop role {VICTIM}")
