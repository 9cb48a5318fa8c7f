\pset format unaligned
\pset tuples_only on
\pset null (null)
\set SHOW_CONTEXT never
create role regress_signals login;
create role regress_signals_other login;
create role regress_signals_watcher login bypassrls;
set client_min_messages = warning;
select df.grant_usage(r) from unnest(array['regress_signals', 'regress_signals_other', 'regress_signals_watcher']) r;
reset client_min_messages;
create view buffered as
select i.label, s.name, s.data from df._signals s join df.instances i on i.id = s.instance_id order by s.id;
\set one 00000001
\set new 00000002
set role regress_signals;
select df.start('{"node_type":"SIGNAL","query":"{\"signal_name\":\"go\",\"timeout_seconds\":null}"}', 'one') is not null;
reset role;
update df.instances set id = :'one';
update df.nodes set instance_id = :'one';
set role regress_signals;

-- What is refused, in this order.
select df.signal('', '');
\echo :LAST_ERROR_SQLSTATE
select df.signal('ffffffff', '');
\echo :LAST_ERROR_SQLSTATE
select df.signal('ffffffff', 'go');
\echo :LAST_ERROR_SQLSTATE
select df.signal('ffffffff', repeat('ß', 1001));
\echo :LAST_ERROR_SQLSTATE
select df.signal(:'one', 'go', repeat('x', 1048577));
\echo :LAST_ERROR_SQLSTATE
select df.signal(:'one', 'go', repeat('[', 100000));
\echo :LAST_ERROR_SQLSTATE
select df.signal(null, 'go'), df.signal(:'one', null), df.signal(:'one', 'go', null);
reset role;
select * from buffered;
set role regress_signals;

-- JSON stays that JSON, other text becomes a JSON string. Kept in the order of sending.
select df.signal(:'one', 'go'), df.signal(:'one', 'go', '{"b": 1,  "a": 2}'), df.signal(:'one', 'go', 'yes'),
       df.signal(:'one', 'go', '5'), df.signal(:'one', 'Go', ''), df.signal(:'one', repeat('n', 2000), ' null ');
select df.signal(:'one', 'odd', '"\u0000"'), df.signal(:'one', 'odd', '1e999999'), df.signal(:'one', 'odd', '{"a":}');
reset role;
select label, left(name, 5), data from buffered;
select sent_at between now() - interval '1 minute' and clock_timestamp() from df._signals limit 1;
delete from df._signals;

-- It belongs to the sender's transaction, also to that of the start.
set role regress_signals;
begin;
select df.signal(:'one', 'go', 'rolled back');
rollback;
begin;
select df.start('SELECT 1', 'of this transaction') as id \gset
select df.signal(:'id', 'go', 'early');
commit;
reset role;
update df.instances set id = :'new' where id = :'id';
update df._signals set instance_id = :'new';
select * from buffered;
delete from df._signals;

-- Parked and waiting for it: due at once. For another name, or a wait that is not there: not.
update df.instances set status = 'running', due_at = 'infinity' where id = :'one';
set role regress_signals;
select df.signal(:'one', 'go', 'not entered');
select due_at from df.instances where id = :'one';
reset role;
update df.nodes set status = 'running', due_at = 'infinity' where instance_id = :'one';
delete from df._signals;
set role regress_signals;
select df.signal(:'one', 'Go');
select due_at from df.instances where id = :'one';
begin;
select df.signal(:'one', 'go');
select due_at <= clock_timestamp() from df.instances where id = :'one';
rollback;
select due_at from df.instances where id = :'one';
begin isolation level repeatable read;
select df.signal(:'one', 'go');
select due_at <= clock_timestamp() from df.instances where id = :'one';
rollback;
reset role;
update df.nodes set stopped_through = generation where instance_id = :'one';
set role regress_signals;
select df.signal(:'one', 'go', 'to one that lost its race');
select due_at from df.instances where id = :'one';
reset role;
delete from df._signals;
update df.nodes set stopped_through = 0 where instance_id = :'one';

-- In the hands of a worker: it is told.
update df.instances set worker = 1, due_at = null where id = :'one';
create extension dblink;
select dblink_connect('sender', format('dbname=%L user=postgres host=%L port=%s', current_database(), split_part(current_setting('unix_socket_directories'), ',', 1), current_setting('port')));
select dblink_exec('sender', 'listen pg_durable');
select df.signal(:'one', 'go');
select * from dblink('sender', 'select 1') answer (n int);
select notify_name, extra from dblink_get_notify('sender');
select due_at, worker from df.instances where id = :'one';
select dblink_exec('sender', 'unlisten *');

-- A worker that parks the instance waits for the sender, and then finds the signal; neither a
-- claim, nor other progress, nor a cancellation has to wait.
select dblink_exec('sender', 'begin');
select * from dblink('sender', format('select df.signal(%L, %L)', :'one', 'go')) r (answer text);
delete from df._signals;
select reason from df._save(1, format('[{"instance":"%s","then":"park"}]', :'one')::json);
select reason from df._save(1, format('[{"instance":"%s","then":null}]', :'one')::json);
begin;
select df.cancel(:'one') is not null;
rollback;
select dblink_exec('sender', 'commit');
select reason from df._save(1, format('[{"instance":"%s","then":"park"}]', :'one')::json);
select worker, due_at <= clock_timestamp() from df.instances where id = :'one';
-- With the snapshot of before, the instance would seem to be the worker's still.
delete from df._signals;
update df.instances set worker = 1, due_at = null where id = :'one';
select dblink_exec('sender', 'begin isolation level repeatable read');
select * from dblink('sender', 'select count(*) from df.instances') r (n int);
update df.instances set worker = null, due_at = 'infinity' where id = :'one';
select * from dblink('sender', format('select df.signal(%L, %L)', :'one', 'go')) r (answer text);
\echo :LAST_ERROR_SQLSTATE
select dblink_exec('sender', 'rollback');
select dblink_disconnect('sender');
drop extension dblink;

-- Of others: as unknown. Those who see all rows may signal all.
set role regress_signals_other;
select df.signal(:'one', 'go');
\echo :LAST_ERROR_SQLSTATE
select count(*) from df._buffered_signals;
select * from df._signals;
set role regress_signals_watcher;
select df.signal(:'one', 'watched');
reset role;
select df.signal(:'one', 'super');
select * from buffered;
set role regress_signals;
select name from df._buffered_signals order by sent_at;
select data from df._signals;

-- To an instance that has ended: OK, and a word about it; nothing is kept.
reset role;
update df.instances set status = 'completed', due_at = null where label = 'of this transaction';
set role regress_signals;
select df.signal(:'new', 'go');
reset role;
select count(*) from buffered where label = 'of this transaction';

-- A session that fires no triggers is told so.
set session_replication_role = replica;
select df.signal(:'one', 'go');
reset session_replication_role;

-- A step may signal, its own instance too.
set role regress_signals;
set df.in_workflow = 'true';
select df.signal(:'one', 'from a step');
reset df.in_workflow;

-- Its answer is a text like any other: no helper's.
select df.signal(:'one', 'go') ~> 'SELECT 1';

-- What can be taken no more is swept away.
reset role;
update df.instances set status = 'completed' where id = :'one';
insert into df._signals (instance_id, name, data) values ('ffffffff', 'of an instance that is gone', '1');
select df.start('SELECT 1', 'goes on') as two from (select set_config('role', 'regress_signals', false)) r \gset
select df.signal(:'two', 'go');
reset role;
select df._sweep();
select * from buffered;
select df._sweep();
set role regress_signals;
select df._sweep();

reset role;
drop view buffered;
drop owned by regress_signals, regress_signals_other, regress_signals_watcher;
drop role regress_signals, regress_signals_other, regress_signals_watcher;
