"""What must be so at the end of a round, by what the tables say.

Nothing here knows of the round but through the database: `torture.starts` says what was accepted
and how it must end, `torture.ledger` what steps have done, and `df` what became of it.
"""

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any, LiteralString

import psycopg
from psycopg.rows import dict_row

from pg_durable.torture.violations import Violation

Session = psycopg.AsyncConnection[Any]


async def check_database(session: Session, excused: Collection[str] = ()) -> list[Violation]:
    """All checks of a database in which everything has come to its end.

    Args:
        excused: SQLSTATEs with which the faults of the round may have failed any step.
    """
    found = await _check_outcomes(session, excused)
    for name, query in _NONE_MAY_BE.items():
        cursor = await session.execute(query)
        found += [Violation(name, str(row[0]), str(row[1])) for row in await cursor.fetchall()]
    return found


async def unfinished(session: Session) -> list[Violation]:
    """What has been accepted and is not over."""
    cursor = await session.execute(_UNFINISHED)
    return [Violation("stuck", str(row[0]), str(row[1])) for row in await cursor.fetchall()]


async def _check_outcomes(session: Session, excused: Collection[str]) -> list[Violation]:
    ledger: dict[str, Counter[str]] = {}
    cursor = await session.execute("select tag, step, count(*) from torture.ledger group by 1, 2")
    async for tag, step, count in cursor:
        ledger.setdefault(tag, Counter())[step] = count

    found = []
    async with session.cursor(row_factory=dict_row) as rows:
        await rows.execute(_OUTCOMES)
        async for row in rows:
            steps = ledger.pop(row["tag"], Counter())
            found += _check_outcome(row, steps, excused)
    found += [
        Violation("unexpected", tag, f"steps of a workflow that nobody started: {dict(steps)}")
        for tag, steps in ledger.items()
    ]
    return found


def _check_outcome(
    row: Mapping[str, Any], steps: Counter[str], excused: Collection[str]
) -> list[Violation]:
    """Compare how a workflow ended, and what it did, with what was expected."""
    expected, status = row["expected"], row["status"]
    name = f"{row['tag']} ({row['kind']}, {row['instance']})"
    if status is None:
        return [Violation("lost", name, "there is no such instance")]
    repeatable = set(expected.get("repeatable", ()))
    found = [
        Violation("doubled", name, f"step {step} took effect {count} times")
        for step, count in steps.items()
        if count > 1 and step not in repeatable
    ]
    known = {*expected["steps"], *repeatable, *(s for g in expected.get("either", ()) for s in g)}
    found += [
        Violation("unexpected", name, f"step {step} took effect") for step in steps.keys() - known
    ]
    if status == expected["status"] == "completed":
        found += _check_all_there(name, expected, repeatable, steps, row["turns"])
    elif status == "failed":
        may = {*excused, *expected.get("sqlstates", ())}
        if row["sqlstate"] not in may:
            found.append(Violation("failed", name, f"{row['sqlstate']}: {row['output']}"))
        if expected["status"] == "failed" and row["sqlstate"] in expected["sqlstates"]:
            found += _missing(name, expected["steps"], steps)
    elif not (status == "cancelled" and row["cancelled"]):
        wanted = expected["status"]
        found.append(Violation("outcome", name, f"it is {status} instead of {wanted}"))
    return found


def _check_all_there(
    name: str,
    expected: Mapping[str, Any],
    repeatable: Collection[str],
    steps: Counter[str],
    turns: int | None,
) -> list[Violation]:
    found = _missing(name, [*expected["steps"], *repeatable], steps)
    if groups := expected.get("either"):
        won = [group for group in groups if all(step in steps for step in group)]
        ended = [group for group in groups if group[-1] in steps]
        if len(won) != 1 or len(ended) != 1:
            found.append(
                Violation("race", name, f"{len(won)} branches won; steps: {sorted(steps)}")
            )
    if expected.get("turns") not in (None, turns):
        found.append(
            Violation("doubled", name, f"{turns} iterations instead of {expected['turns']}")
        )
    return found


def _missing(name: str, wanted: Collection[str], steps: Counter[str]) -> list[Violation]:
    missing = [step for step in wanted if step not in steps]
    if not missing:
        return []
    return [
        Violation("missing", name, f"steps {missing} never took effect; there are {dict(steps)}")
    ]


# Every accepted start, whatever became of it.
_OUTCOMES: LiteralString = """
    select s.tag, s.kind, s.instance, s.expected, i.status, i.output,
           coalesce(r.status_details ->> 'sqlstate', '') as sqlstate,
           r.iteration as turns,
           c.tag is not null as cancelled
    from torture.starts s
    left join df.instances i on i.id = s.instance
    left join df.nodes r on r.instance_id = i.id and r.id = i.root_node
    left join torture.cancels c on c.tag = s.tag
"""

_UNFINISHED: LiteralString = """
    select s.tag || ' (' || s.kind || ', ' || i.id || ')',
           format('%s, worker %s (%s), due %s, attempts %s; nodes: %s', i.status, i.worker,
                  case when e.worker is null then 'gone' else 'alive' end, i.due_at, i.attempts,
                  (select string_agg(format('%s %s %s gen %s due %s', n.id, n.node_type, n.status,
                                            n.generation, n.due_at), ', ' order by n.id)
                   from df.nodes n where n.instance_id = i.id and n.status = 'running'))
    from df.instances i
    left join torture.starts s on s.instance = i.id
    left join df._worker_epoch e on e.worker = i.worker
    where i.status in ('pending', 'running')
"""

# Each finds what must not be, as a subject and the details.
_NONE_MAY_BE: Mapping[str, LiteralString] = {
    "unfinished": _UNFINISHED,
    "ghost": """
        select i.id, format('status %s, label %s: no committed start', i.status, i.label)
        from df.instances i
        where not exists (select from torture.starts s where s.instance = i.id)
    """,
    # A step's row in the ledger and the record of the step are there together, or neither is.
    "torn": """
        select s.tag || ' (' || s.kind || ', ' || s.instance || ')',
               format('step %s: node %s is %s, and its effect is there %s times',
                      t.step, n.id, n.status, l.times)
        from torture.starts s
        join df.nodes n on n.instance_id = s.instance
        cross join lateral substring(n.query from '/[*] step ([a-z0-9-]+) [*]/') t (step)
        cross join lateral (
          select count(*) from torture.ledger l where l.tag = s.tag and l.step = t.step) l (times)
        where t.step is not null
          and (n.status = 'completed') <> (l.times = 1)
    """,
    "state": """
        select i.id, format('%s: worker %s, due %s, completed at %s',
                            i.status, i.worker, i.due_at, i.completed_at)
        from df.instances i
        where i.status in ('completed', 'failed', 'cancelled')
          and (i.worker is not null or i.due_at is not null or i.completed_at is null)
    """,
    "root": """
        select i.id, format('instance %s, root node %s', i.status, n.status)
        from df.instances i
        join df.nodes n on n.instance_id = i.id and n.id = i.root_node
        where i.status in ('completed', 'failed') and n.status <> i.status
    """,
    "clock": """
        select i.id, format('created %s, updated %s, completed %s', i.created_at, i.updated_at,
                            i.completed_at)
        from df.instances i
        where i.created_at > i.completed_at or i.created_at > i.updated_at
           or i.updated_at > clock_timestamp() or i.completed_at > clock_timestamp()
    """,
    "node clock": """
        select i.id, format('node %s (%s, %s) at %s; the instance from %s to %s (%s)', n.id,
                            n.node_type, n.status, n.updated_at, i.created_at, i.completed_at,
                            i.status)
        from df.nodes n
        join df.instances i on i.id = n.instance_id
        where n.status in ('completed', 'failed')
          and (n.updated_at < i.created_at
               -- The commit that ends the instance writes its row first, and then the nodes.
               or n.updated_at > i.completed_at and n.xmin::text <> i.xmin::text)
    """,
    # The parts of a body carry the numbers of the loop around them; others are compared.
    "order": """
        select i.id, format('%s %s at %s is before its part %s at %s', p.node_type, p.id,
                            p.updated_at, c.id, c.updated_at)
        from df.instances i
        join df.nodes p on p.instance_id = i.id
        join df.nodes c on c.instance_id = i.id and c.id in (p.left_node, p.right_node)
        where p.node_type in ('THEN', 'JOIN', 'IF') and p.status = c.status
          and p.status = 'completed' and p.generation = c.generation
          and c.updated_at > p.updated_at
    """,
    "generation": """
        select i.id, format('node %s is in generation %s of a loop that had %s', n.id,
                            n.generation, l.last)
        from df.instances i
        join lateral (select max(iteration) as last from df.nodes where instance_id = i.id) l
          on l.last is not null
        join df.nodes n on n.instance_id = i.id and n.generation > l.last
    """,
    # What comes too late for an instance that fails is swept later.
    "signal left": """
        select s.instance_id, format('signal %s %s', s.name, s.data)
        from df._signals s
        join df.instances i on i.id = s.instance_id
        where i.status = 'completed'
    """,
    "orphan row": """
        select n.instance_id, format('node %s', n.id)
        from df.nodes n
        where not exists (select from df.instances i where i.id = n.instance_id)
        union all
        select s.instance_id, format('signal %s', s.name)
        from df._signals s
        where not exists (select from df.instances i where i.id = s.instance_id)
    """,
}
