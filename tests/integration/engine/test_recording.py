"""What a checkpoint records of several nodes at once."""

import psycopg
import pytest

from support.database import Database

_ALIKE = "select df._checkpoint_alike(%s, 1, %s, %s, %s, false)"


async def _claimed(db: Database) -> tuple[str, list[str]]:
    """An instance that worker 1 holds, and its nodes in the order of its graph: a, b, a ~> b."""
    instance = await db.start("'select 1 as a' ~> 'select 2 as b'")
    await db.rows("update df.instances set worker = 1")
    nodes = await db.rows("select id::text from df.nodes order by node_type, query")
    return instance, [node for (node,) in nodes]


async def _recorded(db: Database) -> list[tuple[object, ...]]:
    return await db.rows(
        "select status, result::text, generation from df.nodes order by node_type, query"
    )


async def test_nodes_that_come_to_the_same_are_recorded_together(db: Database) -> None:
    instance, (_, b, root) = await _claimed(db)

    await db.rows(_ALIKE, instance, [b, root], 1, '{"b": 2}')

    done = ("completed", '{"b": 2}', 1)
    assert await _recorded(db) == [("pending", None, 1), done, done]


@pytest.mark.parametrize("generation", [1, 2])
@pytest.mark.parametrize(
    "refuses",
    [
        "status = 'completed', result = '0', generation = 3",
        "stopped_through = 2147483647",
        "id = '00000000'",
    ],
)
async def test_none_of_them_is_recorded_where_one_may_not_be(
    db: Database, refuses: str, generation: int
) -> None:
    instance, (_, b, root) = await _claimed(db)
    await db.rows(f"update df.nodes set {refuses} where id = %s", b)
    before = await _recorded(db)

    with pytest.raises(psycopg.Error, match="the claim on this instance is gone"):
        await db.rows(_ALIKE, instance, [b, root], generation, "1")

    assert await _recorded(db) == before


@pytest.mark.parametrize("named", ["aa", "abcde"])
async def test_neither_doubles_nor_too_many_pass_for_nodes_that_come_to_the_same(
    db: Database, named: str
) -> None:
    instance, nodes = await _claimed(db)
    known = dict(zip("abc", nodes, strict=True))

    with pytest.raises(psycopg.Error, match="the claim on this instance is gone"):
        await db.rows(_ALIKE, instance, [known.get(n, n * 8) for n in named], 1, "1")

    assert {status for status, _, _ in await _recorded(db)} == {"pending"}


async def test_deeper_nodes_come_first_in_the_order_of_their_ids(db: Database) -> None:
    step = "'select 1'"
    for _ in range(20):
        await db.start(f"({step} ~> ({step} & {step})) ~> df.if({step}, {step} | {step}, {step})")

    rows = await db.rows(
        "with recursive tree as ("
        "  select n.*, 0 as depth from df.nodes n join df.instances i"
        "    on i.id = n.instance_id and i.root_node = n.id"
        "  union all"
        "  select n.*, t.depth + 1 from tree t join df.nodes n on n.instance_id = t.instance_id"
        "    and (n.id in (t.left_node, t.right_node) or n.id = case when t.node_type = 'IF'"
        "         then t.query::json ->> 'condition_node' end))"
        " select instance_id, array_agg(depth order by id) from tree group by 1"
    )

    assert len(rows) == 20
    for _, depths in rows:
        assert len(depths) == 12
        assert depths == sorted(depths, reverse=True)


async def test_the_ids_of_the_largest_graph_all_differ(db: Database) -> None:
    branches = ", ".join(["'select 1'"] * 9_999)

    await db.rows(f"select df.start(df.join(variadic array[{branches}]))")

    assert await db.row("select count(*), count(distinct id) from df.nodes") == (10_000, 10_000)
