"""What a client asks. The columns are those of the classes in rows and health."""

from typing import LiteralString

# Is df there, and may we look into it?
SCHEMA = """
select current_database()::text as database, current_user::text as role,
  c.oid is not null as installed, coalesce(has_schema_privilege(n.oid, 'usage'), false) as usable
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
  x.current_execution_id as executions, i.output as error, x.failure"""
ONE: LiteralString = f"""
select {_COLUMNS}
from df.instances i
cross join lateral df.instance_info(i.id) x
where i.id::text = %s"""  # noqa: S608 -- made of constants
PAGE: LiteralString = f"""
select {_COLUMNS}, l.next_cursor
from df.list_instances(%s, %s, %s, %s) with ordinality l
join df.instances i on i.id::text = l.instance_id
cross join lateral df.instance_info(i.id) x
order by l.ordinality"""  # noqa: S608 -- made of constants

# The result as the table has it: its keys in the order of the columns.
NODES = """
select n.node_id as id, n.node_type as type, n.query, n.result_name as name,
  n.left_node, n.right_node, n.inferred_status as status, t.result::text as result,
  case
    when n.node_type <> 'LOOP' or n.inferred_status in ('pending', 'skipped') then null
    when t.entered_in = t.generation then t.iteration - t.first_iteration + 1
    else 1
  end as iteration,
  coalesce(n.status_details::jsonb, '{}') as details, n.updated_at
from df.instance_nodes(%(id)s) n
join df.nodes t on t.instance_id::text = %(id)s and t.id::text = n.node_id"""
RESULT = """
select n.result::text
from df.nodes n
where n.instance_id::text = %s and n.id::text = %s"""

SIGNAL = "select df.signal(%s, %s, coalesce(%s, '{}'))"
WAITS_FOR = "select w.waits_for from df.waiting_for(%s) w"

# What `examine` looks at. Nothing is written or locked.
SERVER = """
select current_setting('server_version') as version,
  current_setting('server_version_num')::int as number,
  d.datname::text as database, pg_encoding_to_char(d.encoding)::text as encoding,
  current_user::text as role
from pg_database d
where d.datname = current_database()"""
VERSION = """
select split_part(df.version(), ' ', 1) as version, df._sees_all(current_user) as sees_all,
  has_table_privilege('df._schema', 'select') as sees_schema,
  has_any_column_privilege('df.instances', 'select') as sees_instances,
  has_table_privilege('df._worker_epoch', 'select') as sees_workers"""
MIGRATION = "select s.migration from df._schema s"

WORKERS = """
select e.worker, e.name, clock_timestamp() - e.last_seen_at as silent_for,
  c.worker is not null as connected
from df._worker_epoch e
left join df._living_workers() c (worker) on c.worker = e.worker
order by e.worker"""
# The names are of those workers alone that hold something of the caller's.
WORKERS_IN_PART = """
select c.worker, w.name, null::interval as silent_for, true as connected
from df._living_workers() c (worker)
left join df._workers w on w.worker = c.worker
order by c.worker"""

STATUSES = "select i.status::text, count(*) as number from df.instances i group by 1"
# What is held by each worker, and, in the row without one, what is due.
DUE = """
select i.worker, count(*) as number, max(clock_timestamp() - i.due_at) as longest
from df.instances i
where i.due_at <= statement_timestamp()
group by 1"""
STUCK = "select w.instance_id as id from df.waiting_for() w where w.waits_for = 'nothing: stuck'"
GIVEN_BACK = """
select i.id::text, i.attempts
from df.instances i
where i.attempts > 0 and i.status in ('pending', 'running')
order by i.attempts desc, i.id"""
ROLES = """
select coalesce(r.rolname::text, s.role::oid::text) as role, s.database, s.number,
  case
    when r.oid is null then 'gone'
    when not r.rolcanlogin then 'login'
    when not coalesce(d.datallowconn, false) then 'database'
    when not has_database_privilege(r.oid, d.oid, 'connect') then 'connect'
    when not has_schema_privilege(r.oid, 'df', 'usage') then 'usage'
    when r.rolsuper and not df._superuser_instances() then 'superuser'
  end as trouble
from (
  select i.submitted_by as role, coalesce(i.database, current_database()) as database,
    count(*) as number
  from df.instances i
  where i.status in ('pending', 'running')
  group by 1, 2
) s
left join pg_roles r on r.oid = s.role
left join pg_database d on d.datname = s.database
order by 1, 2"""
# From where the sessions of steps come, for `try_logins`; the worker is the role of the session
# unless another is named.
PLACE = """
select current_setting('server_version_num')::int as server, w.rolname::text as worker,
  has_function_privilege(w.oid, 'df._worker_badge()', 'execute') as is_worker,
  w.rolsuper as worker_is_superuser, current_database()::text as database,
  host(inet_client_addr()) as address,
  coalesce((select s.ssl from pg_stat_ssl s where s.pid = pg_backend_pid()), false) as ssl,
  case when pg_has_role('pg_read_all_settings', 'usage')
    then current_setting('hba_file') end as hba_file,
  case when pg_has_role('pg_read_all_settings', 'usage')
    then current_setting('ident_file') end as ident_file,
  has_function_privilege('pg_hba_file_rules()', 'execute') as sees_rules,
  has_table_privilege('df.instances', 'select') as sees_instances,
  df._sees_all(current_user) as sees_all
from pg_roles w
where w.rolname = coalesce(%(worker)s, session_user)"""
HBA_RULES = """
select r.type, r.database, r.user_name, r.auth_method, coalesce(r.options, '{}') as options
from pg_hba_file_rules r
where r.error is null
order by r.line_number"""
_TRIED = """
select r.rolname::text as role, coalesce(s.number, 0) as unfinished,
  has_database_privilege(r.oid, current_database(), 'connect') as connect,
  coalesce(r.rolvaliduntil < now(), false) as expired,
  not %(set_role)s or pg_has_role(%(worker)s, r.oid, %(right)s) as may_set
from pg_roles r
"""
_MAY_START = """
where r.rolcanlogin
  and (s.number > 0
       or not r.rolsuper
         and has_schema_privilege(r.oid, 'df', 'usage')
         and has_any_column_privilege(r.oid, 'df._start', 'insert')
         and not has_function_privilege(r.oid, 'df._worker_badge()', 'execute'))
order by 1"""
# The roles that log in and may have workflows, with their unfinished ones; workers, and the owner
# of df, only where they have some.
MAY_START: LiteralString = f"""{_TRIED}
left join (
  select i.submitted_by as role, count(*) as number
  from df.instances i
  where i.status in ('pending', 'running')
  group by 1) s on s.role = r.oid
{_MAY_START}"""  # noqa: S608 -- made of constants
MAY_START_IN_PART: LiteralString = (
    f"{_TRIED} cross join (values (null::int)) s (number) {_MAY_START}"
)

# What transaction_mode => 'new' goes over here.
LOOPBACK = """
select case
  when exists (select from pg_proc p
               where p.pronamespace = 'df'::regnamespace and p.proname = '_start_in_background')
    and exists (select from pg_settings s where s.name = 'pg_durable.worker_command')
  then 'background worker'
  when exists (select from pg_extension e where e.extname = 'dblink') then 'dblink'
end as loopback"""
