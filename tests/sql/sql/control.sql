\pset format unaligned
\pset tuples_only on
\set SHOW_CONTEXT never
set client_min_messages = warning;
create role regress_control login;
create role regress_control_watcher login bypassrls;
select df.grant_usage('regress_control'), df.grant_usage('regress_control_watcher');

-- Finish an instance the way a worker would.
create function finish(p_instance text, p_status text, p_result json) returns void
language sql security definer as $$
  update df.nodes set status = p_status, result = p_result, updated_at = clock_timestamp()
  where instance_id = p_instance;
  update df.instances set status = p_status, due_at = null, completed_at = clock_timestamp(),
    output = case p_status when 'failed' then p_result #>> '{}' end
  where id = p_instance;
$$;
set role regress_control;

-- Status and result.
select df.start('SELECT 1', 'done') as id \gset
select df.status(:'id'), df.result(:'id') is null;
select df.status(:'id'), df.result(:'id') is null;
select finish(:'id', 'completed', '{"rows":[{"b":1,"a":2}],"row_count":1}');
select df.status(:'id'), df.result(:'id');
select df.status('ffffffff') is null, df.result('ffffffff') is null, df.status(null) is null;
select df.start('SELECT 1', 'failed') as failed \gset
select finish(:'failed', 'failed', '"no such table"');
select df.status(:'failed'), df.result(:'failed') ~ '"message": "no such table"';

-- What jsonb cannot hold is given as it is.
select df.start('SELECT 1', 'odd') as odd \gset
select finish(:'odd', 'completed', '{"rows":[{"b":"\u0000","a":2}]}');
select df.result(:'odd');
select finish(:'odd', 'completed', '[1e999999,  2]');
select df.result(:'odd');

-- Cancel: the instance ends, and what has not ended of its nodes never will.
select df.start('SELECT 1' ~> 'SELECT 2' ~> 'SELECT 3', 'cancelled') as c \gset
reset role;
update df.instances set status = 'running', worker = 1, due_at = null where id = :'c';
update df.nodes set status = 'completed', result = '1' where instance_id = :'c' and query = 'SELECT 1';
update df.nodes set status = 'running' where instance_id = :'c' and query = 'SELECT 2';
set role regress_control;
begin;
select replace(df.cancel(:'c'), :'c', '<c>');
select df.status(:'c');
rollback;
select df.status(:'c'), count(*) filter (where stopped_through > 0) from df.nodes where instance_id = :'c';
select replace(df.cancel(:'c', 'no longer wanted'), :'c', '<c>');
select status, output, completed_at between created_at and clock_timestamp(), updated_at = completed_at, due_at, worker
from df.instances where id = :'c';
select coalesce(query, node_type), status, stopped_through >= generation as stopped from df.nodes where instance_id = :'c' order by 1;
select coalesce(query, node_type), inferred_status, inferred_status_from_ancestor_id
from df.instance_nodes(:'c') order by 1;
select df.result(:'c') is null;

-- Nothing of it can be recorded afterwards, whoever may still be at it: not by a worker that
-- has not heard of it, nor by one that would hold the claim, nor in another iteration of a loop.
select id as c1 from df.nodes where instance_id = :'c' and query = 'SELECT 2' \gset
\set VERBOSITY terse
set session authorization regress_control;
select df._checkpoint(:'c', 1, array[:'c1'], array[1], array['completed'], array['1'], array[null], null, null);
\echo :LAST_ERROR_SQLSTATE
select df._checkpoint(:'c', 1, array[:'c1'], array[1], array['completed'], array['1'], array[null], 'completed', null);
reset session authorization;
select replace(instance, :'c', '<c>'), reason from df._save(1, format('[{"instance":"%s","then":"completed"}]', :'c')::json);
update df.instances set worker = 1 where id = :'c';
set session authorization regress_control;
select df._checkpoint(:'c', 1, array[:'c1'], array[1], array['completed'], array['1'], array[null], null, null);
select df._checkpoint(:'c', 1, array[:'c1'], array[2], array['completed'], array['1'], array[null], null, null);
reset session authorization;
update df.instances set worker = null where id = :'c';
\set VERBOSITY default
set role regress_control;

-- A step that cancels its own instance commits with the cancellation.
select df.start('SELECT df.cancel(...)', 'cancels itself') as s \gset
reset role;
update df.instances set status = 'running', worker = 1, due_at = null where id = :'s';
select id as s1 from df.nodes where instance_id = :'s' \gset
set session authorization regress_control;
begin;
select replace(df.cancel(:'s', 'enough'), :'s', '<s>');
select df._checkpoint(:'s', 1, array[:'s1'], array[1], array['completed'], array['1'], array[null], 'completed', null);
commit;
reset session authorization;
select i.status, i.output, n.status, n.result from df.instances i join df.nodes n on n.instance_id = i.id where i.id = :'s';
set role regress_control;

-- Signals that nobody has taken are gone with it.
select df.start('SELECT 1', 'with signals') as g \gset
select df.signal(:'g', 'go');
select df.cancel(:'g') is not null;
reset role;
select count(*) from df._signals;

-- A session that fires no triggers is told so, rather than that all is well.
set session_replication_role = replica;
select df.cancel(:'c');
\echo :LAST_ERROR_SQLSTATE
reset session_replication_role;
set role regress_control;

-- One that has ended stays as it is; the answer is the same.
select replace(df.cancel(:'c', 'again'), :'c', '<c>');
select output from df.instances where id = :'c';
select replace(df.cancel(:'id'), :'id', '<id>');
select df.status(:'id');
select df.cancel('ffffffff');
\echo :LAST_ERROR_SQLSTATE
select df.cancel(:'id', null) is null;

-- Those who see all rows may cancel all.
select df.start('SELECT 1', 'for the watcher') as w \gset
set role regress_control_watcher;
select replace(df.cancel(:'w'), :'w', '<w>');
set role regress_control;
select df.start('SELECT 1', 'for the superuser') as w \gset
reset role;
select replace(df.cancel(:'w'), :'w', '<w>');
select label, status from df.instances where label like 'for the %' order by label;
set role regress_control;

-- Await.
select df.await_instance(:'id'), df.await_instance(:'failed', 1), df.await_instance(:'c');
set client_min_messages = notice;
select df.wait_for_completion(:'id');
set client_min_messages = warning;
select df.await_instance(:'id', 0);
\echo :LAST_ERROR_SQLSTATE
select df.await_instance('ffffffff');
\echo :LAST_ERROR_SQLSTATE
set df.in_workflow = 'true';
select df.await_instance(:'id');
\echo :LAST_ERROR_SQLSTATE
reset df.in_workflow;
select df.start('SELECT 1', 'waiting') as w \gset
do $$ begin
  perform df.await_instance(id, 1) from df.instances where label = 'waiting';
exception when sqlstate 'WF005' then
  raise warning '%', regexp_replace(sqlerrm, '[0-9a-f]{8}', '<w>');
end $$;

-- Not worth a wait: not committed, or an end that this transaction would not see.
begin;
do $$ begin
  perform df.await_instance(df.start('SELECT 1'));
exception when sqlstate 'WF004' then
  raise warning '%', regexp_replace(sqlerrm, '[0-9a-f]{8}', '<w>');
end $$;
rollback;
begin;
savepoint s;
select df.start('SELECT 1') as w \gset
select df.cancel(:'w') is not null;
select df.await_instance(:'w');
rollback;
begin isolation level repeatable read;
select df.await_instance(:'id');
do $$ begin
  perform df.await_instance(id) from df.instances where label = 'waiting';
exception when sqlstate 'WF004' then
  raise warning '%', regexp_replace(sqlerrm, '[0-9a-f]{8}', '<w>');
end $$;
rollback;

-- What it returned is no step.
select df.await_instance(:'id') ~> 'SELECT 1';
select df.start(df.await_instance(:'failed'));

-- A stub: it changes nothing and asks for nothing to exist.
select df.run('ffffffff');
select df.run();

reset role;
drop function finish;
drop owned by regress_control, regress_control_watcher;
drop role regress_control, regress_control_watcher;
