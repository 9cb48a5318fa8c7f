\pset format unaligned
\pset tuples_only on
\set SHOW_CONTEXT never
set client_min_messages = warning;

-- The stored nodes of an instance, ids left out.
create function nodes(p_id text) returns setof text language sql as $$
  select concat_ws(' ', n.node_type, regexp_replace(n.query, '"[0-9a-f]{8}"', '"<id>"'),
                   '=> ' || n.result_name, n.left_node is not null, n.right_node is not null)
  from df.nodes n
  where n.instance_id = p_id
  order by n.node_type, n.query
$$;

-- How loops and breaks are written.
select @> 'SELECT 1' = df.loop('SELECT 1');
select df.loop('SELECT 1' ~> df.break('done'), 'SELECT true') |=> 'n';
select df.loop(df.loop('SELECT 1'), df.loop('SELECT 2', df.break()));
select df.break(null) = df.break(), df.break(value => 'v') = df.break('v');
select df.loop(condition => 'SELECT true', body => 'SELECT 1') = df.loop('SELECT 1', 'SELECT true');

-- A loop needs a body; an operator makes the whole null.
select df.loop(null);
\echo :LAST_ERROR_SQLSTATE
select df.loop(null, 'SELECT true');
select (@> null) is null, (@> null ~> 'SELECT 1') is null;

-- How they are stored: the id of a condition is in the query.
select df.start(@> ('SELECT 1' ~> df.break('x'))) as id \gset
select * from nodes(:'id');
select df.start(df.loop('SELECT 1', 'SELECT true') |=> 'n') as id \gset
select * from nodes(:'id');
select df.start(df.break()) is not null;
select df.start(df.as(df.break('v'), 'x')) as id \gset
select * from nodes(:'id');

-- Written by hand: what is missing or too much breaks a constraint …
select df.start('{"node_type":"LOOP"}');
\echo :LAST_ERROR_SQLSTATE
select df.start('a' ~> '{"node_type":"LOOP","left_node":{"node_type":"SQL","query":"a"},"right_node":{"node_type":"SQL","query":"b"}}');
select df.start('{"node_type":"BREAK"}');
select df.start('{"node_type":"BREAK","query":"{\"break_value\":null}","left_node":{"node_type":"SQL","query":"a"}}');
-- … a query that is an object may be there, whatever is in it …
select df.start('{"node_type":"LOOP","query":"{\"note\":1}","left_node":{"node_type":"SQL","query":"a"},"condition_node":{"node_type":"SQL","query":"b"}}') as id \gset
select * from nodes(:'id');
-- … and anything else is told.
select df.start('{"node_type":"LOOP","left_node":{}}');
\echo :LAST_ERROR_SQLSTATE
select df.start('{"node_type":"LOOP","left_node":{"node_type":"SQL","query":"a"},"condition_node":{"node_type":"FOO"}}');
select df.start('{"node_type":"LOOP","query":"oops","left_node":{"node_type":"SQL","query":"a"}}');
select df.start('{"node_type":"LOOP","query":"5","left_node":{"node_type":"SQL","query":"a"}}');
select df.start('{"node_type":"LOOP","query":"{\"condition_node\":{}}","left_node":{"node_type":"SQL","query":"a"}}');
select df.start('{"node_type":"LOOP","extra_nodes":[],"left_node":{"node_type":"SQL","query":"a"}}');
select df.start('a' ~> '{"node_type":"BREAK","query":"oops"}');
\echo :LAST_ERROR_SQLSTATE
-- Whether df.start takes a node written by hand.
create function started(p_type text, p_query text) returns text language plpgsql as $$
begin
  perform df.start(format('{"node_type":%s,"query":%s}', to_json(p_type), to_json(p_query)));
  return 'accepted';
exception when others then
  return sqlstate || ' ' || sqlerrm;
end $$;
select query, started('BREAK', query)
from unnest(array['{}', '{"break_value":5}', '{"break_value":{}}', '[]', '"v"', '',
                  '{"break_value":"v"}', '{"break_value":null,"more":1}']) query;

-- Nesting counts as in any graph.
create function pg_temp.nested(n int) returns text language plpgsql as $$
declare graph text := 'SELECT 0';
begin
  for i in 1 .. n loop graph := @> graph; end loop;
  return graph;
end $$;
select df.start(pg_temp.nested(256)) is not null;
do $$ begin
  perform df.start(pg_temp.nested(257));
exception when sqlstate 'WF007' then
  raise warning '%', replace(sqlerrm, repeat('.left', 257), '(.left x 257)');
end $$;
drop function nodes, started;
