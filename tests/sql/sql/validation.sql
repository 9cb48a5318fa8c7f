\pset format unaligned
\pset tuples_only on
\set SHOW_CONTEXT never

-- Builders.
select df.as('SELECT 1', '');
\echo :LAST_ERROR_SQLSTATE
select df.as('SELECT 1', '1st');
select df.as('SELECT 1', 'a b');
select df.as('SELECT 1', E'a\n');
select df.sleep(-1);
\echo :LAST_ERROR_SQLSTATE
select df.sleep(0);
select df.sleep('-1 second'::interval);
select df.sleep('-0.000001');
select df.sleep('-5');
select df.sleep('soon');
\echo :LAST_ERROR_SQLSTATE
select df.sleep('');
select df.sleep('9223372036854775808');
select df.sleep('9223372036854775808 days');
-- Intervals have an infinity from PostgreSQL 17 on; no version sleeps for it.
do $$ begin
  perform df.sleep('infinity');
exception when sqlstate 'WF001' then
  raise warning 'refused';
end $$;
select df.sleep_until('infinity');
\echo :LAST_ERROR_SQLSTATE
select df.sleep_until('-infinity');
select df.sleep_until('0001-12-31 23:59:59+00 BC');
select df.sleep_until('10000-01-01 00:00:00+00');
select df.wait_for_signal('');
\echo :LAST_ERROR_SQLSTATE
select df.wait_for_signal(null);
\echo :LAST_ERROR_SQLSTATE
select df.wait_for_signal('s', 0);
\echo :LAST_ERROR_SQLSTATE
select df.wait_for_signal('s', -1);
select length(df.wait_for_signal(repeat('é', 1000)));
select df.wait_for_signal(repeat('é', 1000) || 's');
\echo :LAST_ERROR_SQLSTATE
select df.join('a');
\echo :LAST_ERROR_SQLSTATE
select df.race('a');
select df.join(variadic '{}');
select df.race(variadic '{}');
-- Not looked at: what the SQL is, and what names an if_rows or a signal has.
select df.if_rows('no name!', 'no SQL', 'at all') is not null, df.wait_for_signal(E' \n') is not null;

-- Operands.
select 'a' ~> '{"node_type":"FOO"}';
\echo :LAST_ERROR_SQLSTATE
select df.join('{"node_type":"sql","query":"a"}', 'b');
select df.as('{"node_type":"THEN","left_node":5}', 'x');
\echo :LAST_ERROR_SQLSTATE
select df.as('{"node_type":"THEN","right_node":[]}', 'x');
select df.as('{"node_type":"IF","condition_node":"a"}', 'x');
select df.as('{"node_type":"JOIN","extra_nodes":[{},1]}', 'x');
select df.as('{"node_type":"JOIN","extra_nodes":{}}', 'x');
select df.as('{"node_type":"SQL","query":1}', 'x');
select df.as('{"node_type":"SQL","query":"a","result_name":{}}', 'x');
select df.loop('{"node_type":"FOO"}');
select df.loop('a', '{"node_type":"THEN","left_node":5}');
select @> '{"node_type":"FOO"}';
select df.race('a', 'b', '{"node_type":"FOO"}');
select df.if('{"node_type":"FOO"}', 'a', 'b');
select df.if_rows('x', 'a', '{"node_type":"FOO"}');

-- A left-over half of an if.
select ('a' ?> 'b') ~> 'c';
\echo :LAST_ERROR_SQLSTATE
select df.join('a', 'a' ?> 'b');
select df.loop('a' ?> 'b');
select df.start('a' ?> 'b');

-- Only the operand itself is looked at; what lies deeper is found by df.start and df.explain.
select df.as('{"node_type":"THEN","left_node":{"node_type":"FOO"},"right_node":{}}', 'x');

-- What a helper returned is no step …
select df.setvar('a', '1') ~> 'SELECT 1';
\echo :LAST_ERROR_SQLSTATE
select 'SELECT 1' & df.unsetvar('a');
select df.if(df.clearvars(), 'SELECT 1', 'SELECT 2');
select df.setvar('a', '1') |=> 'x';
select @> df.setvar('a', '1');
select df.loop('SELECT 1', df.setvar('a', '1'));
select df.race('SELECT 1', 'SELECT 2', df.setvar('a', '1'));
select df.start(df.setvar('a', '1'));
\echo :LAST_ERROR_SQLSTATE
select df.start('SELECT 1') as id \gset
update df.instances set status = 'completed', completed_at = now(), due_at = null where id = :'id';
select df.await_instance(:'id') ~> 'SELECT 1';

-- … but a text that only looks like it is: without a call, or beside one, or after one.
select 'OK' ~> 'SELECT 1';
select df.setvar('a', 'SELECT 2') as set, 'SELECT 1' ~> 'SELECT 2';
select df.getvar('a') ~> 'SELECT 1';
begin;
select df.setvar('a', '1');
select 'OK' ~> 'SELECT 1';
rollback;
do $$ begin
  perform df.setvar('a', '1');
  raise notice '%', 'SELECT 1' ~> 'SELECT 2';
end $$;
