\pset format unaligned
\pset null (null)
\set SHOW_CONTEXT never
set client_min_messages = warning;
create role regress_monitoring login;
select df.grant_usage('regress_monitoring');

select df.version() ~ '^\d+\.\d+\.\d+ \(built \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\)$' as version,
       df.target_database() = current_database() as target_database,
       df.duroxide_schema();

-- Five of the caller's, one of another's; two were created at the same instant.
set role regress_monitoring;
select count(df.start('SELECT 1', label)) from unnest(array['l1', 'l2', 'l3', 'l3', null]) label;
reset role;
set pg_durable.enable_superuser_instances = on;
select df.start('SELECT 1', 'l1') is not null as "of a superuser";
create function rename(p_label text, p_id text, p_at timestamptz) returns void language plpgsql as $$
declare old text;
begin
  select id into old from df.instances where label is not distinct from p_label and id not like '0000%' limit 1;
  update df.instances set id = p_id, created_at = p_at, updated_at = p_at, root_node = '0000000a' where id = old;
  update df.nodes set instance_id = p_id, id = '0000000a' where instance_id = old;
end $$;
begin;
set constraints all deferred;
select rename(null, '00000005', '2026-01-05Z'), rename('l2', '00000002', '2026-01-02Z'),
       rename('l3', '00000004', '2026-01-03Z'), rename('l3', '00000003', '2026-01-03Z') \g /dev/null
update df.instances set label = 'l0' where submitted_by = 'postgres'::regrole;
select rename('l1', '00000001', '2026-01-01Z'), rename('l0', '00000006', '2025-01-01Z') \g /dev/null
commit;
update df.nodes set status = 'completed', result = '{"rows":[{"b":1,"a":2}],"row_count":1}' where instance_id in ('00000001', '00000003');
update df.instances set status = 'completed', completed_at = '2026-02-01Z' where id in ('00000001', '00000003');
update df.nodes set status = 'failed', result = '"oops"' where instance_id = '00000002';
update df.instances set status = 'failed', output = 'oops', completed_at = '2026-02-01Z' where id = '00000002';
select df.cancel('00000005', 'enough') is not null as cancelled;
update df.instances set completed_at = '2026-02-05Z' where id = '00000005';

-- The short form.
set role regress_monitoring;
set timezone = 'UTC';
select * from df.list_instances();
select instance_id from df.list_instances('completed');
select instance_id from df.list_instances(limit_count => 2);
select instance_id from df.list_instances(null, null);
select instance_id from df.list_instances('no such status');

-- The long form.
select * from df.list_instances(null, 100, null);
select instance_id from df.list_instances('completed', 100, 'l3');
select instance_id from df.list_instances(null, 100, 'l3', null);

-- Pages: every row carries the cursor of the next page, the last page none.
select instance_id, convert_from(decode(next_cursor, 'hex'), 'UTF8') as cursor
from df.list_instances(null, 2, null);
select instance_id, next_cursor is null as last
from df.list_instances(null, 2, null, encode('v1|2026-01-03T00:00:00.000000+00|00000003', 'hex'));
select instance_id, next_cursor is null as last
from df.list_instances(null, 3, null, encode('v1|2026-01-03T00:00:00.000000+00|00000003', 'hex'));
select instance_id from df.list_instances('failed', 3, 'l2', encode('v1|2026-01-03T00:00:00.000000+00|00000003', 'hex'));
select instance_id from df.list_instances(null, 3, null, encode('v1|2026-01-01T00:00:00.000000+00|00000001', 'hex'));
-- A cursor stays valid when its row is gone, and is the same in any time zone.
set timezone = 'Asia/Kathmandu';
select instance_id, convert_from(decode(next_cursor, 'hex'), 'UTF8') as cursor
from df.list_instances(null, 1, null, encode('v1|2026-01-03T00:00:00.000000+00|00000000', 'hex'));
set timezone = 'UTC';
reset role;
select instance_id from df.list_instances(null, 3, null, encode('v1|2026-01-01T00:00:00.000000+00|00000001', 'hex'));
set role regress_monitoring;

-- Rows that were never given a time have no place in pages.
reset role;
begin;
update df.instances set created_at = null where id = '00000004';
set local role regress_monitoring;
select instance_id from df.list_instances(null, 100, null);
rollback;
set role regress_monitoring;

-- What is refused.
select * from df.list_instances(null, 0);
\echo :LAST_ERROR_SQLSTATE
select * from df.list_instances(null, 1001);
\echo :LAST_ERROR_SQLSTATE
select * from df.list_instances(null, -1, null);
select * from df.list_instances(null, 1, null, '');
\echo :LAST_ERROR_SQLSTATE
select * from df.list_instances(null, 1, null, 'abc');
select * from df.list_instances(null, 1, null, 'zz');
select * from df.list_instances(null, 1, null, 'ff');
select * from df.list_instances(null, 1, null, repeat('00', 300));
select * from df.list_instances(null, 1, null, encode('v2|2026-01-03T00:00:00.000000+00|00000003', 'hex'));
select * from df.list_instances(null, 1, null, encode('v1|2026-13-03T00:00:00.000000+00|00000003', 'hex'));
set pg_durable.list_instances_max_limit = 1;
select * from df.list_instances(null, 2, 'l1');
reset pg_durable.list_instances_max_limit;

-- Nodes: what became of each, by itself and seen from its ancestors.
select df.start('c' |=> 'q' ?> ('t1' ~> 't2') !> df.join3('e1', 'e2', 'e3') ~> 'last', 'nodes') as id \gset
create temp view nodes as
select n.node_type, n.query ~ '^{' as config, case when n.query !~ '^{' then n.query end as query,
       n.status, n.result, replace(n.status_details, :'id', '<id>') as status_details,
       n.inferred_status, a.node_type || coalesce(' ' || a.result_name, '') as from_ancestor
from df.instance_nodes(:'id') n
left join df.nodes a on a.instance_id = :'id' and a.id = n.inferred_status_from_ancestor_id
order by n.node_type collate "C", n.query collate "C", n.status;
select * from nodes;
reset role;
update df.nodes set status = 'completed', result = '{"b":1,"a":2}'
where instance_id = :'id' and query in ('c', 't1');
update df.nodes set status = 'running'
where instance_id = :'id' and (query = 't2' or node_type = 'IF');
update df.nodes set status_details = '{"at_least_once": true}'
where instance_id = :'id' and query in ('t1', 'e1');
set role regress_monitoring;
select * from nodes;
reset role;
update df.nodes set status = 'failed', result = '"t2 failed"'
where instance_id = :'id' and (query = 't2' or node_type in ('IF', 'THEN'));
set role regress_monitoring;
select * from nodes;
select execution_id, query, status, result from df.instance_nodes(:'id', 5) where query = 'c';
select count(*) from df.instance_nodes('ffffffff');

reset role;
create function set_node(p_name text, p_status text, p_generation int) returns void language sql security definer as $$
  update df.nodes n set status = p_status, generation = p_generation, result = case p_status when 'completed' then to_json(p_name) end
  from df.instances i
  where i.label = 'loops' and n.instance_id = i.id and coalesce(n.result_name, n.query) = p_name;
$$;
create function set_loop(p_name text, p_entered_in int, p_first int, p_iteration int) returns void language sql security definer as $$
  update df.nodes n set entered_in = p_entered_in, first_iteration = p_first, iteration = p_iteration
  from df.instances i
  where i.label = 'loops' and n.instance_id = i.id and n.result_name = p_name;
$$;
set role regress_monitoring;

-- Branches are stamped with scopes of their own. What lost a race is skipped, and a node that no
-- other names is what its row says.
select df.start('{"node_type":"RACE","left_node":{"node_type":"JOIN","left_node":{"node_type":"SQL","query":"j1"},"right_node":{"node_type":"SQL","query":"j2"}},"right_node":{"node_type":"SQL","query":"r"}}', 'branches') as id \gset
reset role;
update df.nodes set status = 'completed', result = '1' where instance_id = :'id' and query in ('j1', 'r');
update df.nodes set status = 'running', result = '"left from before"' where instance_id = :'id' and (query = 'j2' or node_type = 'RACE');
insert into df.nodes (instance_id, id, node_type, query, status, submitted_by) values (:'id', '00000000', 'SQL', 'alone', 'running', 'regress_monitoring');
create function names(p_id text, p text) returns text language plpgsql security definer as $$
declare r record;
begin
  for r in
    select id, coalesce(result_name, query, node_type) as name from df.nodes where instance_id = p_id
    union all select p_id, 'i'
  loop
    p := replace(p, r.id, r.name);
  end loop;
  return p;
end $$;
set role regress_monitoring;
\t on
select names(:'id', node_id), status, result, names(:'id', status_details), inferred_status, inferred_status_from_ancestor_id from df.instance_nodes(:'id') order by 1;
reset role;
update df.nodes set status = 'completed', result = '1' where instance_id = :'id' and node_type = 'RACE';
update df.nodes set stopped_through = 1 where instance_id = :'id' and (query = 'j2' or node_type = 'JOIN');
set role regress_monitoring;
select names(:'id', node_id), status, inferred_status, names(:'id', inferred_status_from_ancestor_id) from df.instance_nodes(:'id') order by 1;
\t off

-- In loops a node belongs to one iteration of the LOOP around it. What an earlier one has left
-- reads pending, until the loop is over: then it is what did not run.
select df.start('{"node_type":"LOOP","result_name":"outer","left_node":{"node_type":"THEN","result_name":"then1",
  "left_node":{"node_type":"SQL","query":"a"},
  "right_node":{"node_type":"THEN","result_name":"then2",
    "left_node":{"node_type":"LOOP","result_name":"inner","left_node":
      {"node_type":"JOIN","result_name":"join","left_node":{"node_type":"SQL","query":"j1"},"right_node":{"node_type":"SQL","query":"j2"}},
      "condition_node":{"node_type":"SQL","query":"c"}},
    "right_node":{"node_type":"SQL","query":"z"}}}}', 'loops') as id \gset
create temp view seen as
select names(:'id', n.node_id) as node, n.status, names(:'id', n.status_details) as status_details,
       n.inferred_status, names(:'id', n.inferred_status_from_ancestor_id) as from_ancestor, n.result
from df.instance_nodes(:'id') n
order by array_position(array['outer', 'then1', 'a', 'then2', 'inner', 'join', 'j1', 'j2', 'c', 'z'], names(:'id', n.node_id));
\t on
select * from seen;
-- The first iteration of both.
select set_node(name, 'running', 1) from unnest(array['outer', 'then1', 'then2', 'inner', 'join']) name \g /dev/null
select set_node(name, 'completed', 1) from unnest(array['a', 'j1']) name \g /dev/null
select * from seen;
-- The third of the outer one, whose inner one is in the second since then, its sixth in all.
select set_loop('outer', 1, 1, 3), set_loop('inner', 3, 5, 6),
       set_node('then1', 'running', 3), set_node('then2', 'running', 3), set_node('inner', 'running', 3), set_node('a', 'completed', 3),
       set_node('join', 'completed', 5), set_node('j1', 'completed', 6), set_node('j2', 'completed', 5),
       set_node('c', 'completed', 4), set_node('z', 'completed', 2) \g /dev/null
select * from seen;
-- A branch that is stopped in this iteration, not in an earlier one.
reset role;
update df.nodes set stopped_through = case query when 'j2' then 6 else 5 end where instance_id = :'id' and query in ('c', 'j2');
set role regress_monitoring;
select * from seen where node in ('c', 'j2');
-- The fourth of the outer one, in which the inner one is not entered yet; then it is.
select set_loop('outer', 1, 1, 4), set_node('then1', 'running', 4), set_node('a', 'running', 4) \g /dev/null
select * from seen;
select set_node('inner', 'running', 4), set_node('j1', 'completed', 7), set_node('a', 'completed', 4) \g /dev/null
select * from seen where node in ('inner', 'join', 'j1', 'j2');
-- The inner one has ended, then all.
select set_node('inner', 'completed', 4) \g /dev/null
select * from seen where node in ('inner', 'join', 'j1', 'j2', 'c');
select set_node('outer', 'failed', 1), set_node('then1', 'failed', 4) \g /dev/null
select * from seen;
-- What never goes on, because it was cancelled, is skipped.
reset role;
update df.nodes set status = 'running' where instance_id = :'id' and result_name in ('outer', 'then1');
set role regress_monitoring;
select df.cancel(:'id') is not null;
select * from seen;
\t off

reset role;
drop view seen;
drop function names, set_node, set_loop;
drop owned by regress_monitoring;
drop role regress_monitoring;
