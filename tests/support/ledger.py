"""A ledger that every step of a workflow appends to: what was lost or doubled shows in it."""

from support.database import Database

STEPS = 6

# A chain, a join of two branches, a condition; each step takes a moment, to be killed in.
WORKFLOW = """
    {step1} |=> 'first'
    ~> ({step2} & ({step3} ~> df.sleep(0) ~> {step4}))
    ~> ('select $first.step = 1' ?> {step5} !> 'select 1/0')
    ~> {step6}
"""


def ledger_step(number: int) -> str:
    """The statement of a step that appends to the ledger, as an SQL literal."""
    return (
        f"'insert into ledger (instance, step) select ''{{sys_instance_id}}'', {number}"
        " from pg_sleep(random() * 0.05) returning step'"
    )


async def create_ledger(db: Database) -> None:
    """An empty ledger without any constraint: a doubled step must be seen, not refused."""
    await db.rows("create table ledger (instance text, step int, at timestamptz default now())")


async def start_ledger_workflows(db: Database, count: int) -> None:
    """Start workflows of STEPS appending steps each."""
    workflow = WORKFLOW.format(**{f"step{n}": ledger_step(n) for n in range(1, STEPS + 1)})
    await db.rows(f"select df.start({workflow}) from generate_series(1, {count})")


async def assert_each_step_exactly_once(db: Database, workflows: int) -> None:
    """Every workflow completed, and each of its steps is in the ledger once."""
    assert await db.rows("select status, count(*) from df.instances group by 1") == [
        ("completed", workflows)
    ]
    assert await db.row(
        "select count(*), count(distinct (instance, step)), count(distinct instance) from ledger"
    ) == (workflows * STEPS, workflows * STEPS, workflows)
