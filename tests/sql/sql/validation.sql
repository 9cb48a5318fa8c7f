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

-- A left-over half of an if.
select ('a' ?> 'b') ~> 'c';
\echo :LAST_ERROR_SQLSTATE
select df.join('a', 'a' ?> 'b');

-- Only the operand itself is looked at; what lies deeper is found by df.start and df.explain.
select df.as('{"node_type":"THEN","left_node":{"node_type":"FOO"},"right_node":{}}', 'x');

-- What a helper returned is no step …
select df.setvar('a', '1') ~> 'SELECT 1';
\echo :LAST_ERROR_SQLSTATE
select 'SELECT 1' & df.unsetvar('a');
select df.if(df.clearvars(), 'SELECT 1', 'SELECT 2');
select df.setvar('a', '1') |=> 'x';
select df.start(df.setvar('a', '1'));
\echo :LAST_ERROR_SQLSTATE

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
