\pset format unaligned
\pset tuples_only on
\set SHOW_CONTEXT never
set client_min_messages = warning;
create role regress_explain login;
select df.grant_usage('regress_explain');
-- Lines without the blanks they are padded with.
create function tree(p_input text) returns text language sql
as $$ select regexp_replace(df.explain(p_input), ' +$', '', 'gn') $$;

-- Sequence, name, if.
select tree($$ 'SELECT 1' |=> 'a' ~> ('SELECT $a > 0' ?> 'SELECT 2' !> df.sleep(5)) $$);

-- A named join of a sequence and a race; the name of a race is never shown.
select tree($$ ('SELECT 1' ~> 'SELECT 2') & (df.wait_for_signal('go', 60) | df.sleep(9) |=> 'first') |=> 'both' $$);

-- A while-loop with a sequence as body.
select tree($$ df.loop('SELECT work()' ~> df.break('done'), 'SELECT count(*) > 0 FROM q') $$);

-- Loops by operator, below other nodes, and named.
select tree($$ @> 'SELECT 1' $$);
select tree($$ @> ('SELECT 1' ~> df.sleep('250 ms')) |=> 'n' ~> 'SELECT 2' $$);
select tree($$ df.join('a', @> (df.wait_for_schedule('*/5 * * * *') ~> 'b'), df.loop('c', 'd' ?> 'e' !> 'f')) $$);
select tree($$ df.race('a', 'b', 'c') $$);

-- Every line is padded to the longest and four more.
select replace(df.explain($$ 'a' ~> E'bb\nccc' $$), ' ', '.');

-- Deeper: what is below a branch that is not the last hangs on a bar.
select tree(df.join3('a' ~> df.join('b', 'c') ~> 'd', df.join('e' ?> 'f' !> 'g', 'h'), df.if_rows('x', 'i', 'j' & 'k')));

-- The other leaves.
select tree(df.wait_for_schedule('0 9 * * mon', 'Europe/Zurich'));
select tree(df.sleep('250 ms') ~> df.sleep_until('2026-12-01 00:00:00+00') ~> df.sleep_until('2026-12-01 00:00:00.5+00'));
select tree(df.break(repeat('é', 20)) ~> df.break(repeat('é', 21)));
select tree(node) from (values
  ('{"node_type":"SIGNAL","query":"{\"signal_name\":\"go\",\"timeout_seconds\":null}"}'),
  ('{"node_type":"BREAK","query":"{\"break_value\":null}","result_name":"b"}'),
  ('{"node_type":"BREAK","query":"{\"break_value\":\"twenty-one characters\"}"}'),
  ('{"node_type":"WAIT_SCHEDULE","query":"{\"cron_expr\":\"*/5 * * * *\"}"}'),
  ('{"node_type":"LOOP","left_node":{"node_type":"SLEEP","query":"1"}}'),
  ('{"node_type":"HTTP","query":"{\"url\":\"https://example.com/\",\"method\":\"GET\"}","result_name":"h"}'),
  ('{"node_type":"HTTP","query":"{\"url\":\"https://example.com/a/path/that/is/far/too/long\",\"method\":\"POST\"}"}'),
  ('{"node_type":"HTTP_MULTIPART","query":"{\"url\":\"https://example.com/\",\"method\":\"PUT\"}"}'),
  -- hand-written: shown as far as they go
  ('{"node_type":"SLEEP","query":"{}"}'), ('{"node_type":"WAIT_SCHEDULE","query":"{}"}'), ('{"node_type":"BREAK","query":"5"}'), ('{"node_type":"LOOP"}'),
  ('{"node_type":"SIGNAL","query":"not JSON"}'), ('{"node_type":"SQL"}'), ('{"node_type":"HTTP","query":"{broken"}'),
  ('{"node_type":"IF","left_node":{"node_type":"SQL","query":"only then"}}')) t (node);

-- Cut at characters, not bytes.
select tree('SELECT ''' || repeat('é', 41) || '''');
select tree('SELECT ''' || repeat('é', 42) || '''');

-- SQL is told by its first word, even when it looks like an expression; with line feeds.
select tree($$SELECT 'df.x' ~> 'y'$$);
select tree($$ select 'a @> b' $$);
select tree($$Delete from t where a @> '{df.x}'$$);
select tree(E'  with x as (\n  select 1)\nselect * from x');
select tree('update t set a = 1');
select tree('DO $$ begin end $$');
select tree('selector');
select tree('''a'' & ''b''');
select tree('');
select df.explain(null) is null;

-- Evaluating, with the caller's rights.
select tree('null::text ~> ''a''');
select tree('df.getvar(''no such'')');
select df.setvar('plain', 'SELECT 1') \g /dev/null
select tree('df.getvar(''plain'')');
-- What an expression does besides is done.
select tree('df.setvar(''made'', ''SELECT 1'')');
select df.getvar('made');
\set VERBOSITY sqlstate
select tree('''a'' ~> nosuch');
select tree('df.sleep(-1)');
\set VERBOSITY default

-- What is wrong with a graph is told, not raised.
select tree('{"node_type":"FOO"}');
select tree('{"node_type":"THEN","left_node":1}');
select tree('{"node_type":"THEN","left_node":{"node_type":"THEN","right_node":{"node_type":"FOO"}}}');
select tree('{"node_type":"SQL","query":"a","extra_nodes":[]}');
select tree('{"a":"df.x"}');
select tree('{broken df.');

-- Instances.
set role regress_explain;
select df.start('SELECT 1' |=> 'a' ~> ('SELECT $a > 0' ?> 'SELECT 2' !> df.sleep(5)), 'nightly') as id \gset
select df.start('SELECT 1') as plain \gset
select df.start(df.loop('SELECT 1' ~> df.wait_for_signal('go') ~> df.break(), 'SELECT 2') |=> 'n' ~> df.wait_for_schedule('@daily', 'UTC')) as loop \gset
select df.start('SELECT 1', 'to cancel') as c \gset
select df.cancel(:'c') \g /dev/null
reset role;
select replace(tree(:'id'), :'id', '<id>');
select replace(tree(:'loop'), :'loop', '<id>');
update df.instances set status = 'running' where id = :'id';
update df.nodes set status = 'completed', result = '{"rows":[{"?column?":1}],"row_count":1}' where instance_id = :'id' and query ~ '^SELECT (1|.a)';
update df.nodes set status = 'running' where instance_id = :'id' and (query ~ '^{' or query = 'SELECT 2');
select replace(tree(upper(:'id')), :'id', '<id>');
update df.nodes set status = 'completed', result = '{"rows":[{"text":"a result that is longer than sixty"}],"row_count":1}' where instance_id = :'id' and status <> 'completed' and node_type <> 'SLEEP';
update df.instances set status = 'completed' where id = :'id';
select replace(tree(:'id'), :'id', '<id>');
update df.nodes set status = 'failed', result = '"it broke"' where instance_id = :'plain';
update df.instances set status = 'failed', output = 'it broke' where id = :'plain';
select replace(replace(df.explain(:'plain'), :'plain', '<id>'), ' ', '.');
set role regress_explain;
select replace(tree(:'c'), :'c', '<id>');
select tree('00000000');
reset role;
begin;
alter table df.nodes disable trigger all;
delete from df.nodes where instance_id = :'c';
select replace(tree(:'c'), :'c', '<id>');
rollback;

drop function tree;
drop owned by regress_explain;
drop role regress_explain;
