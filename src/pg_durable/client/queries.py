"""What a client asks. The columns are those of `Instance` and `Node`."""

from typing import LiteralString

# Is df there, and may we look into it?
SCHEMA = """
select current_database()::text, current_user::text, c.oid is not null,
  coalesce(has_schema_privilege(n.oid, 'usage'), false)
from (values (1)) one (row)
left join pg_namespace n on n.nspname = 'df'
left join pg_class c on c.relnamespace = n.oid and c.relname = '_schema'"""

_ENDED_AT = """coalesce(i.completed_at, case
    when i.status::text in ('completed', 'failed', 'cancelled') then i.updated_at
  end)"""
_COLUMNS = f"""
  i.id, i.label, i.status::text, pg_get_userbyid(i.submitted_by)::text as role, i.database,
  i.root_node, i.created_at, {_ENDED_AT} as ended_at,
  coalesce({_ENDED_AT}, clock_timestamp()) - i.created_at as duration,
  i.executions, i.output as error"""
ONE: LiteralString = f"""
select {_COLUMNS}
from df.instances i
where i.id::text = %s"""  # noqa: S608 -- made of constants
PAGE: LiteralString = f"""
select {_COLUMNS}, l.next_cursor
from df.list_instances(%s, %s, %s, %s) with ordinality l
join df.instances i on i.id::text = l.instance_id
order by l.ordinality"""  # noqa: S608 -- made of constants

# The result as the table has it: its keys in the order of the columns.
NODES = """
select n.node_id as id, n.node_type as type, n.query, n.result_name as name,
  n.left_node, n.right_node, n.inferred_status as status, t.result::text as result,
  coalesce(n.status_details::jsonb, '{}') as details, n.updated_at
from df.instance_nodes(%(id)s) n
join df.nodes t on t.instance_id::text = %(id)s and t.id::text = n.node_id"""
RESULT = """
select n.result::text
from df.nodes n
where n.instance_id::text = %s and n.id::text = %s"""
