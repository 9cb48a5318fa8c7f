"""Workflows in all states of their lives, and what must come of them after a restore or upgrade."""

from support.database import Database
from support.waiting import until
from support.workers import worker_here

STARTS = {
    "over": "'select 1 as b, 2 as a'",
    "asleep": "df.sleep(86400)",
    "half-way": """'insert into effects (what) values (''first half'')'
        ~> df.wait_for_signal('go') ~> 'insert into effects (what) values (''second half'')'""",
    "in a loop": """df.loop(
        'insert into effects (what) values (''asked'')'
          ~> (df.wait_for_signal('answer') |=> 'said'),
        'select $said.data <> ''enough''')""",
    "signals kept": """df.wait_for_signal('begin') ~> (df.wait_for_signal('n') |=> 'a')
        ~> (df.wait_for_signal('n') |=> 'b') ~> (df.wait_for_signal('n') |=> 'c')
        ~> 'select concat($a.data, $b.data, $c.data) as "order"'""",
}
LATER = {
    "not begun": "'insert into effects (what) values (''{kept}'')'",
    "held": "'insert into effects (what) values (''held'')'",
}
_WAITS = """
    select i.id from df.instances i
    join df.nodes n on n.instance_id = i.id
    where i.id = %s and i.worker is null and n.status = 'running'
      and n.due_at > now() + interval '1 hour'
      and not exists (select from df._signals s where s.instance_id = i.id)
"""


async def take_off(db: Database, role: Database) -> dict[str, str]:
    """Start workflows, and leave them without a worker; returns their ids by state.

    Args:
        db: a session that may do anything with df; its role is the worker's.
        role: a session of the role that starts them.
    """
    await role.rows("create table effects (n bigint generated always as identity, what text)")
    await role.rows("select df.setvar('kept', 'the variable')")
    ids = {name: await role.start(workflow, name) for name, workflow in STARTS.items()}
    async with worker_here(db.conninfo):
        await db.wait(ids["over"])
        await role.rows("select df.signal(%s, 'answer', '\"again\"')", ids["in a loop"])
        for name in ("asleep", "half-way", "in a loop", "signals kept"):
            await _parked(db, ids[name])
    for name, workflow in LATER.items():
        ids[name] = await role.start(workflow, name)
    for number in ("1", "2", "3"):
        await role.rows("select df.signal(%s, 'n', %s)", ids["signals kept"], number)
    # As a killed worker leaves it.
    await db.rows(
        "update df.instances set due_at = null, status = 'running',"
        " worker = (select last_value from df._worker_epoch_worker_seq) where id = %s",
        ids["held"],
    )
    return ids


async def land(db: Database, role: Database, ids: dict[str, str]) -> None:
    """See to it that they come to the end they would have come to anyway, and to no other."""
    await role.rows("select df.signal(%s, 'go')", ids["half-way"])
    await role.rows("select df.signal(%s, 'begin')", ids["signals kept"])
    for answer in ("again", "enough"):
        await role.rows("select df.signal(%s, 'answer', to_json(%s::text)::text)",
                        ids["in a loop"], answer)  # fmt: skip
    async with worker_here(db.conninfo):
        for name in ("half-way", "in a loop", "signals kept", *LATER):
            assert await db.wait(ids[name]) == "completed", (name, await db.output(ids[name]))

    effects = await db.rows("select what from effects order by what")
    assert [what for (what,) in effects] == [
        "asked", "asked", "asked", "first half", "held", "second half", "the variable",
    ]  # fmt: skip
    assert (await db.result(ids["over"]))["rows"] == [{"b": 1, "a": 2}]
    assert (await db.result(ids["signals kept"]))["rows"] == [{"order": "123"}]
    assert await db.status(ids["asleep"]) == "running"
    await _parked(db, ids["asleep"])


async def _parked(db: Database, instance: str) -> None:
    async def waits() -> bool:
        return bool(await db.rows(_WAITS, instance))

    await until(waits)
