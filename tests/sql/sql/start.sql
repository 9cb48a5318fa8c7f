\pset format unaligned
\pset tuples_only on
\set SHOW_CONTEXT never
set client_min_messages = warning;
create role regress_start login;
create role regress_start_nologin nologin;
create role "Regress Start" login;
select df.grant_usage('regress_start'), df.grant_usage('regress_start_nologin'), df.grant_usage('Regress Start');

-- The nodes of the instance with a label, parents first, ids replaced by positions.
create function nodes(p_label text) returns setof text language sql as $$
  with recursive tree as (
    select n.*, 'root' as place
    from df.instances i join df.nodes n on n.instance_id = i.id and n.id = i.root_node
    where i.label = p_label
    union all
    select n.*, t.place || c.step
    from tree t
    cross join lateral (
      select '.left', t.left_node
      union all select '.right', t.right_node
      union all select '.condition', t.query::json ->> 'condition_node'
                where t.node_type in ('IF', 'LOOP')
      union all select '.extra', json_array_elements_text(t.query::json -> 'extra_nodes')
                where t.node_type = 'JOIN') c (step, id)
    join df.nodes n on n.instance_id = t.instance_id and n.id = c.id
  )
  select concat_ws(' ', place, node_type,
                   regexp_replace(query, '"[0-9a-f]{8}"', '"<id>"', 'g'), '=> ' || result_name,
                   status,
                   case when database = current_database() then 'here' else database end, submitted_by)
  from tree order by place collate "C";
$$;
grant execute on function nodes to regress_start;
set role regress_start;

-- One statement.
select df.start('SELECT 1', 'one', current_database()) ~ '^[0-9a-f]{8}$';
select nodes('one');
select label, status, submitted_by, database = current_database(), created_at = updated_at,
       due_at between created_at and clock_timestamp(), completed_at, worker, attempts, output
from df.instances;
select df.start('') is not null;

-- A graph.
select df.start('SELECT 1' |=> 'a' ~> ('SELECT $a' ?> df.sleep(1) !> df.join3('a', 'b', 'c')), 'graph') is not null;
select nodes('graph');
select df.start(df.if_rows('x', 'a', 'b') & '{"node_type":"JOIN","query":"{\"note\":1}","left_node":{"node_type":"SQL","query":"l"},"right_node":{"node_type":"SQL","query":"r"},"extra_nodes":[{"node_type":"SQL","query":"e"}]}', 'config') is not null;
select nodes('config');

-- Node ids are unique in their graph and lead nowhere.
select count(*), count(distinct n.id), bool_and(n.id ~ '^[0-9a-f]{8}$')
from df.nodes n join df.instances i on i.id = n.instance_id where i.label = 'graph';

-- It belongs to the caller's transaction, and is created when that began.
begin;
select df.start('SELECT 1', 'rolled back') is not null;
select created_at = now() from df.instances where label = 'rolled back';
rollback;
select count(*) from df.instances where label = 'rolled back';

-- Arguments, in the order in which they are checked.
select df.start('{"node_type":"FOO"}', transaction_mode => 'Nested');
\echo :LAST_ERROR_SQLSTATE
select df.start('SELECT 1', transaction_mode => 'CALLER') is not null;
select df.start('SELECT 1', transaction_mode => null);
select df.start(null);
\echo :LAST_ERROR_SQLSTATE
select df.start('{"node_type":"FOO"}', null, 'no such database');
\echo :LAST_ERROR_SQLSTATE
select df.start('{"node_type":"THEN","left_node":1}');
select df.start('a' ?> 'b');
select df.start('SELECT 1', null, 'no such database');
\echo :LAST_ERROR_SQLSTATE
set role regress_start_nologin;
select df.start('{"node_type":"THEN","left_node":{"node_type":"FOO"}}');
\echo :LAST_ERROR_SQLSTATE
reset role;
set pg_durable.enable_superuser_instances = off;
select df.start('{"node_type":"THEN","left_node":{"node_type":"FOO"}}');
\echo :LAST_ERROR_SQLSTATE
set pg_durable.enable_superuser_instances = on;
select df.start('SELECT 1', 'superuser') is not null;
set role "Regress Start";
select df.start('SELECT 1', 'quoted role') is not null;
select label, submitted_by from df.instances;

-- Graphs that cannot be, with the place of the fault.
set role regress_start;
select df.start('a' ~> ('b' & '{"node_type":"THEN","left_node":{"node_type":"FOO"},"right_node":{"node_type":"SQL"}}'));
\echo :LAST_ERROR_SQLSTATE
select df.start('{"node_type":"THEN","left_node":{},"right_node":{}}');
select df.start('{"node_type":"THEN","left_node":{"node_type":"THEN","left_node":[]}}');
select df.start('{"node_type":"SQL","query":"a","condition_node":{}}');
select df.start('{"node_type":"IF","extra_nodes":[]}');
select df.start('{"node_type":"IF","query":"{\"condition_node\":{}}","left_node":{},"right_node":{}}');
select df.start('{"node_type":"JOIN","query":"{\"extra_nodes\":[]}","left_node":{},"right_node":{}}');
select df.start('{"node_type":"JOIN","query":"oops","left_node":{},"right_node":{}}');
select df.start('{"node_type":"IF","query":"[]","left_node":{},"right_node":{}}');
select df.start(df.join3('a', 'b', '{"node_type":"IF","left_node":{"node_type":"SQL","query":"l"},"right_node":{"node_type":"SQL","query":"r"},"condition_node":{"node_type":"X"}}'));
select df.start('{"node_type":"LOOP","left_node":{}}');
\echo :LAST_ERROR_SQLSTATE
select df.start(df.seq('a', '{"node_type":"SIGNAL","query":"{}"}'));

-- Graphs that are not complete break a table's constraint.
select df.start('{"node_type":"THEN"}');
\echo :LAST_ERROR_SQLSTATE
select df.start('a' ~> '{"node_type":"SLEEP"}');
select df.start('a' ~> '{"node_type":"IF","left_node":{"node_type":"SQL","query":"l"},"right_node":{"node_type":"SQL","query":"r"}}');
select df.start('{"node_type":"SQL","query":"a","result_name":"not a name"}');
\echo :LAST_ERROR_SQLSTATE

-- Limits: 257 steps one after the other, 10,000 nodes in all.
create function pg_temp.chain(n int) returns text language plpgsql as $$
declare graph text := 'SELECT 0';
begin
  for i in 2 .. n loop graph := graph ~> 'SELECT 0'; end loop;
  return graph;
end $$;
create function pg_temp.balanced(n int) returns text language plpgsql as $$
declare half text;
begin
  if n = 1 then return df.sql('SELECT 0'); end if;
  half := pg_temp.balanced(n / 2);
  return case n % 2
    when 1 then df.join3(half, half, 'SELECT 0')
    else df.join(half, half) end;
end $$;
select df.start(pg_temp.chain(257), 'longest') is not null;
select count(*) from df.nodes n join df.instances i on i.id = n.instance_id where i.label = 'longest';
do $$ begin
  perform df.start(pg_temp.chain(258));
exception when sqlstate 'WF007' then
  raise warning '%', replace(sqlerrm, repeat('.left', 257), '(.left x 257)');
end $$;
select df.start(pg_temp.balanced(4096) & pg_temp.balanced(512) ~> 'SELECT 1', 'largest') is not null;
select count(*), count(distinct n.id) from df.nodes n join df.instances i on i.id = n.instance_id where i.label = 'largest';
select df.start(pg_temp.balanced(8192));
\echo :LAST_ERROR_SQLSTATE

-- Ids that are taken are drawn anew, ten times.
reset role;
begin;
create or replace function df._new_id() returns text return 'deadbeef'::text;
set role regress_start;
select df.start('SELECT 1');
select df.start('SELECT 2');
\echo :LAST_ERROR_SQLSTATE
rollback;

drop function nodes;
drop owned by regress_start, regress_start_nologin, "Regress Start";
drop role regress_start, regress_start_nologin, "Regress Start";
