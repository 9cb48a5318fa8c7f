\pset format unaligned
\pset null (null)
\set SHOW_CONTEXT never
set client_min_messages = warning;
create role regress_progress login;
create role regress_progress_other login;
select df.grant_usage('regress_progress'), df.grant_usage('regress_progress_other');

-- One instance in each state, in this order, with fixed ids and times; and one of another role.
set role regress_progress;
select count(df.start('SELECT 1' ~> 'SELECT 2', label))
from unnest(array['completed', 'failed', 'cancelled', 'due', 'held', 'nameless', 'orphan', 'parked', 'retry', 'due retry']) label;
set role regress_progress_other;
select count(df.start('SELECT 1', 'of another'));
reset role;
create temp table renamed as
select id as old, '0000000' || to_hex(row_number() over (order by array_position(array['completed', 'failed', 'cancelled', 'due', 'held', 'nameless', 'orphan', 'parked', 'retry', 'due retry', 'of another'], label))) as new, label
from df.instances;
update df.nodes n set instance_id = r.new from renamed r where n.instance_id = r.old;
update df.instances i set id = r.new, created_at = '2026-01-01Z' from renamed r where i.id = r.old;
select df.cancel('00000003', 'enough') is not null as cancelled;
update df.nodes set status = 'completed', result = '{"rows":[{"b":1,"a":2}],"row_count":1}' where instance_id = '00000001';
update df.nodes set status = 'failed', result = '"oops"' where instance_id = '00000002' and (query is null or query like '%2');
update df.nodes set status = 'running' where instance_id = '00000005' and query like '%1';
update df.instances set due_at = null, status = label, completed_at = '2026-01-01 00:00:01.2345Z', output = case label when 'failed' then 'oops' end where label in ('completed', 'failed');
update df.instances set completed_at = '2026-01-02Z' where label = 'cancelled';
-- A worker lives as long as the session that holds its lock.
select count(pg_advisory_lock(df._lock_class(), worker)) from (values (7), (8), (9)) w (worker);
insert into df._worker_epoch (worker, name) overriding system value values (7, 'host:1'), (8, null), (9, 'host:2'), (10, 'idle');
update df.instances set status = 'running' where status = 'pending' and label <> 'due';
update df.instances set worker = case label when 'held' then 7 when 'nameless' then 8 else 6 end where label in ('held', 'nameless', 'orphan');
update df.instances set worker = 9 where label = 'of another';
update df.instances set due_at = '2999-12-31 23:59:59.9+05:45' where label in ('parked', 'retry');
update df.instances set attempts = 3 where label in ('retry', 'due retry', 'held');

set role regress_progress;
select * from df.instance_info('00000001');
select status, output, failure - 'node' as failure from df.instance_info('00000002');
select * from df.instance_info('00000003');
select * from df.instance_info('00000004');
select * from df.instance_info('0000000b');
select * from df.instance_info('ffffffff');
select * from df.instance_info(null);

select g, e.* from generate_series(1, 5) g, df.instance_executions('0000000' || g) e order by g;
select * from df.instance_executions('00000001', 1);
select * from df.instance_executions('0000000b');
select * from df.instance_executions('ffffffff', null);
select * from df.instance_executions('00000001', 0);
\echo :LAST_ERROR_SQLSTATE

-- A LOOP that is the root: its iterations are the executions. Each shows the time since the end of
-- the one before; the first of those that are kept knows of none.
begin;
set local role regress_progress;
select df.start('{"node_type":"LOOP","left_node":{"node_type":"THEN","left_node":{"node_type":"SQL","query":"a"},"right_node":{"node_type":"SQL","query":"b"}}}', 'loop') as loop \gset
reset role;
update df.instances set id = '0000000c', created_at = '2026-01-01Z', status = 'running' where id = :'loop';
update df.nodes set instance_id = '0000000c' where instance_id = :'loop';
update df.nodes set status = 'running' where instance_id = '0000000c' and node_type <> 'SQL';
set local role regress_progress;
select current_execution_id from df.instance_info('0000000c');
select * from df.instance_executions('0000000c');
reset role;
insert into df._executions values ('0000000c', 0, 1, '2026-01-01 00:00:02Z', 3), ('0000000c', 1, 2, '2026-01-01 00:00:02.5Z', 2);
update df.nodes set status = 'completed', generation = 2 where instance_id = '0000000c' and query = 'b';
update df.nodes set status = 'completed', generation = 3 where instance_id = '0000000c' and query = 'a';
update df.nodes set entered_in = 1, first_iteration = 1, iteration = 3 where instance_id = '0000000c' and node_type = 'LOOP';
update df.nodes set generation = 3 where instance_id = '0000000c' and node_type = 'THEN';
set local role regress_progress;
select current_execution_id from df.instance_info('0000000c');
select execution_count from df.list_instances(null, 1000, 'loop');
select * from df.instance_executions('0000000c');
select * from df.instance_executions('0000000c', 2);
select execution_id, event_count from df.instance_executions('0000000c', 20000);
reset role;
delete from df._executions where execution = 1;
update df.instances set status = 'completed', due_at = null, completed_at = '2026-01-01 00:00:04Z' where id = '0000000c';
update df.nodes set status = 'completed', result = '{"n": 1}' where instance_id = '0000000c' and node_type = 'LOOP';
set local role regress_progress;
select * from df.instance_executions('0000000c');
set local role regress_progress_other;
select * from df.instance_executions('0000000c');
select count(*) from df._executions;
reset role;
select total_instances, total_executions from df.metrics();
rollback;

-- What each waits for. The time is in UTC wherever one looks from.
set timezone = 'Asia/Kathmandu';
set datestyle = 'German';
select * from df.waiting_for();
select * from df.waiting_for('00000005');
select * from df.waiting_for('00000008');
select * from df.waiting_for('00000001');
select * from df.waiting_for('0000000b');
select * from df.waiting_for('ffffffff');
reset timezone;
reset datestyle;

-- An instance of this very transaction is due already.
begin;
select df.start('SELECT 1') as id \gset
select waits_for from df.waiting_for(:'id');
select count(*) from df.waiting_for();
rollback;

-- The workers seen are those that hold something of the caller's.
select * from df._workers order by 1;
set role regress_progress_other;
select * from df._workers order by 1;
select * from df.waiting_for();
reset role;
create schema attic authorization regress_progress_other;
set role regress_progress_other;
create function attic.pg_has_role(name, oid, text) returns boolean language sql as 'select true';
set search_path = attic, pg_catalog;
select * from df._workers order by 1;
reset search_path;
select * from df._worker_epoch;
reset role;
select * from df._workers order by 1;
select instance_id, waits_for from df.waiting_for() where instance_id >= '0000000a';

-- A parked instance waits for what its nodes wait for, soonest first. Waits that have not begun,
-- are over, or lost a race do not count.
begin;
set local role regress_progress;
select df.start('{"node_type":"JOIN","left_node":{"node_type":"LOOP","left_node":{"node_type":"SQL","query":"x"}},"right_node":{"node_type":"SLEEP","query":"60"},"extra_nodes":[
  {"node_type":"WAIT_SCHEDULE","query":"{\"cron_expr\":\"0 2 * * *\"}"},
  {"node_type":"SIGNAL","query":"{\"signal_name\":\"approval\",\"timeout_seconds\":60}"},
  {"node_type":"SIGNAL","query":"{\"signal_name\":\"two words\",\"timeout_seconds\":null}"}]}', 'waits') as id \gset
reset role;
update df.instances set status = 'running', due_at = 'infinity' where id = :'id';
select waits_for as "for ever, without a wait" from df.waiting_for(:'id');
update df.nodes set status = 'running', due_at = 'infinity' where instance_id = :'id' and query like '%two words%';
set local role regress_progress;
select waits_for from df.waiting_for(:'id');
reset role;
update df.nodes set due_at = to_timestamp(1e12) where instance_id = :'id' and query like '%two words%';
update df.instances set due_at = to_timestamp(1e12) where id = :'id';
select waits_for as "as long as there is time" from df.waiting_for(:'id');
update df.nodes set status = 'running', due_at = '2999-01-04Z' where instance_id = :'id' and query like '%approval%';
select waits_for as "not before infinity" from df.waiting_for(:'id');
update df.instances set due_at = '2999-01-01Z' where id = :'id';
update df.nodes set status = 'running', due_at = '2999-01-01Z' where instance_id = :'id' and node_type = 'LOOP';
update df.nodes set status = 'running', due_at = '2999-01-02Z' where instance_id = :'id' and node_type = 'WAIT_SCHEDULE';
update df.nodes set status = 'running', due_at = '2999-01-03Z' where instance_id = :'id' and node_type = 'SLEEP';
set local role regress_progress;
select waits_for from df.waiting_for(:'id');
reset role;
update df.nodes set stopped_through = generation where instance_id = :'id' and query like '%approval%';
update df.nodes set status = 'completed' where instance_id = :'id' and query like '%two words%';
select waits_for as "fewer" from df.waiting_for(:'id');
-- A signal that is there for one of the waits, and nobody looks: stuck.
update df.nodes set status = 'running', due_at = '2999-01-05Z' where instance_id = :'id' and query like '%two words%';
insert into df._signals (instance_id, name, data, sent_at) values (:'id', 'other', '1', '2026-01-01Z'), (:'id', 'two words', '1', clock_timestamp());
set local role regress_progress;
select waits_for as "just sent" from df.waiting_for(:'id');
reset role;
update df._signals set sent_at = '2026-01-01Z';
set local role regress_progress;
select waits_for as "long since" from df.waiting_for(:'id');
reset role;
delete from df._signals;
-- Ten are named.
insert into df.nodes (instance_id, id, node_type, query, submitted_by, status, due_at)
select :'id', 'aaaaaa' || to_hex(g), 'SLEEP', '1', 'regress_progress', 'running', '2998-01-01Z'::timestamptz + g * interval '1 day'
from generate_series(16, 27) g;
update df.instances set due_at = '2998-01-01Z' where id = :'id';
select waits_for from df.waiting_for(:'id');
rollback;

-- Nothing due, nobody at work: this must never be, but it would be seen.
begin;
update df.instances set due_at = null, worker = null where label = 'due';
select * from df.waiting_for('00000004');
rollback;

-- Metrics count instances of all roles; a role needs the right to see them.
set role regress_progress;
select * from df.metrics();
\echo :LAST_ERROR_SQLSTATE
reset role;
grant execute on function df.metrics() to regress_progress_other;
set role regress_progress_other;
select * from df.metrics();
reset role;
begin;
truncate df.instances, df.nodes;
select * from df.metrics();
rollback;

drop owned by regress_progress, regress_progress_other;
drop role regress_progress, regress_progress_other;
