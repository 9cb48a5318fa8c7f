"""A transaction that somebody holds open: nothing that was claimed since can be removed."""

import re

from support.database import Database
from support.waiting import until

CLAIMED = 8000


async def _claim(db: Database) -> int:
    """Claim one as a worker does; how many pages that took."""
    await db.rows("select df.start('select 1')")
    plan = await db.rows(
        "explain (analyze, buffers, costs off, timing off, summary off)"
        " select * from df._claim(1, 10)"
    )
    return int(re.findall(r"shared hit=(\d+)", "\n".join(line for (line,) in plan))[0])


async def _claim_many(db: Database) -> None:
    await db.rows(f"select count(df.start('select 1')) from generate_series(1, {CLAIMED})")
    await db.rows(f"select count(*) from df._claim(1, {CLAIMED})")


async def test_claims_do_not_pass_all_that_was_claimed_since_it_began(
    database: str, db: Database
) -> None:
    held = await Database.connect(database)
    await held.rows("begin isolation level repeatable read; select count(*) from df.instances")
    await _claim_many(db)

    pages = []

    async def few() -> bool:
        pages.append(await _claim(db))
        return min(pages) < 0.5 * max(pages)

    await until(few)
    await held.close()


async def test_what_is_committed_late_and_what_is_of_others_is_found_all_the_same(
    database: str, db: Database
) -> None:
    held = await Database.connect(database)
    await held.rows("begin isolation level repeatable read; select count(*) from df.instances")
    late = await Database.connect(database)
    await late.rows("begin")
    instance = await late.start_sql("select 'late'")
    await _claim_many(db)
    await db.rows("create role newcomer login; select df.grant_usage('newcomer')")
    newcomer = await db.connect_as("newcomer")
    for _ in range(5):
        await _claim(db)
    other = await newcomer.start_sql("select 'of another'")
    await late.rows("commit")

    found: set[str] = set()

    async def both() -> bool:
        found.update([str(row[0]) for row in await db.rows("select id from df._claim(1, 10)")])
        return {instance, other} <= found

    await until(both)
    for session in (held, late, newcomer):
        await session.close()
    await db.rows("drop owned by newcomer; drop role newcomer")
