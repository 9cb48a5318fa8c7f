\pset format unaligned
\pset tuples_only on
\set SHOW_CONTEXT never
set client_min_messages = warning;
create role regress_iso_a login;
create role regress_iso_b login;
create role regress_iso_none login;
select df.grant_usage('regress_iso_a'), df.grant_usage('regress_iso_b');
grant regress_iso_b, pg_read_server_files to regress_iso_a;
create schema attic authorization regress_iso_a;
grant usage, create on schema attic to regress_iso_b;

-- Whoever is the effective role is the submitter: after SET ROLE, and in a definer's function.
set session authorization regress_iso_a;
select df.start('SELECT 1', 'plain') is not null;
set role regress_iso_b;
select df.start('SELECT 1', 'set role') is not null;
create function attic.start_as_b() returns text language sql security definer
as $$ select df.start('SELECT 1', 'definer') $$;
reset role;
select attic.start_as_b() is not null;
prepare again as select df.start('SELECT 1', 'prepared as a') is not null;
execute again;
set role regress_iso_b;
execute again;
reset session authorization;
select label, submitted_by, count(*) from df.instances group by 1, 2 order by 1, 2;
select i.label, n.submitted_by from df.instances i join df.nodes n on n.instance_id = i.id
where n.submitted_by <> i.submitted_by;
select id as a_id from df.instances where label = 'plain' \gset
select id as b_id from df.instances where label = 'set role' \gset

-- The door itself may be used, with the same result; the caller cannot be given.
set session authorization regress_iso_a;
insert into df._start (fut, label) select 'SELECT ' || g, 'door' from generate_series(1, 3) g
returning id ~ '^[0-9a-f]{8}$';
insert into df._start values ('SELECT 1', 'door');
copy df._start (fut, label) from stdin;
SELECT 1	door
\.
insert into df._start (fut, caller) values ('SELECT 1', 'regress_iso_b');
\echo :LAST_ERROR_SQLSTATE
insert into df._start (fut, caller) values ('SELECT 1', default);
insert into df._start values ('SELECT 1', 'x', null, null, 'regress_iso_b');
copy df._start (fut, caller) from '/dev/null';
copy df._start from '/dev/null';
\set VERBOSITY terse
update df._start set caller = 'regress_iso_b';
select caller from df._start;
\set VERBOSITY default
alter view df._start alter column caller set default 'regress_iso_b';
create rule forge as on insert to df._start do instead nothing;
reset session authorization;
select label, submitted_by, count(*) from df.instances where label = 'door' group by 1, 2;

-- Nor by a view of one's own: with a default over the door's column, or with its trigger.
set session authorization regress_iso_a;
create view attic.start as select fut, label, caller from df._start;
alter view attic.start alter column caller set default 'regress_iso_b';
insert into attic.start (fut, label) values ('SELECT 1', 'own view');
create view attic.cancel as select instance_id, reason, caller from df._cancel;
alter view attic.cancel alter column caller set default 'regress_iso_b';
\set VERBOSITY sqlstate
insert into attic.cancel (instance_id, reason) values (:'b_id', 'forged');
\set VERBOSITY default
reset session authorization;
select label, submitted_by from df.instances where label = 'own view';
set session authorization regress_iso_a;
create view attic.door as select ''::text as fut, ''::text as label, ''::text as database, ''::text as id, ''::name as caller;
create trigger forge instead of insert on attic.door for each row execute function df._start_instance();
\echo :LAST_ERROR_SQLSTATE
create trigger forge instead of insert on attic.door for each row execute function df._cancel_instance();
select df._start_instance();

-- A search_path of one's own does not reach the door's function.
create function attic.raise_now(oid, oid) returns boolean language plpgsql as $$ begin raise exception 'hijacked'; end $$;
create operator attic.= (function = attic.raise_now, leftarg = oid, rightarg = oid);
create function attic.clock_timestamp() returns timestamptz language sql as $$ select 'epoch'::timestamptz $$;
set search_path = attic, pg_catalog;
select df.start('SELECT 1', 'search_path') is not null;
reset search_path;
select due_at > now() - interval '1 hour' from df.instances where label = 'search_path';

-- Cancelling goes through a door of the same make.
set session authorization regress_iso_b;
\set VERBOSITY sqlstate
select df.cancel(:'a_id');
select df.cancel('00000000');
select df.cancel(null) is null;
insert into df._cancel (instance_id, reason, caller) values (:'a_id', 'forged', 'regress_iso_a');
insert into df._cancel values (:'a_id', 'forged', 'regress_iso_a');
insert into df._cancel (instance_id, reason) values (:'a_id', 'not mine');
select id from df._cancel;
\set VERBOSITY default
insert into df._cancel (instance_id, reason) values (:'b_id', 'mine');
reset session authorization;
select label, status, output from df.instances where id in (:'a_id', :'b_id') order by label;

-- So does signalling.
set session authorization regress_iso_b;
\set VERBOSITY sqlstate
select df.signal(:'a_id', 'go');
insert into df._signal (instance_id, signal_name, caller) values (:'a_id', 'forged', 'regress_iso_a');
insert into df._signal values (:'a_id', 'forged', '{}', 'regress_iso_a');
insert into df._signal (instance_id, signal_name) values (:'a_id', 'not mine');
select signal_data from df._signal;
insert into df._signals (instance_id, name, data) values (:'b_id', 'past the door', '1');
\set VERBOSITY default
set session authorization regress_iso_a;
create view attic.signal as select instance_id, signal_name, caller from df._signal;
alter view attic.signal alter column caller set default 'regress_iso_b';
\set VERBOSITY sqlstate
insert into attic.signal (instance_id, signal_name) values (:'b_id', 'forged');
\set VERBOSITY default
create trigger forge instead of insert on attic.door for each row execute function df._send_signal();
create trigger forge instead of insert on attic.door for each row execute function df._start_elsewhere();
insert into df._signal (instance_id, signal_name) values (:'a_id', 'mine');
reset session authorization;
select name, data from df._signals;

-- Each sees its own rows and nothing of others', and writes none.
set session authorization regress_iso_b;
select distinct submitted_by from df.instances;
select distinct submitted_by from df.nodes;
select df.status(:'a_id') is null, df.result(:'a_id') is null;
select count(*) from df.instance_nodes(:'a_id');
select replace(df.explain(:'a_id'), :'a_id', '<a_id>');
select count(*) from df.list_instances('pending', 100, 'plain');
\set VERBOSITY sqlstate
select df.await_instance(:'a_id', 1);
insert into df.instances (id, root_node, submitted_by) values ('00000000', '00000000', 'regress_iso_b');
update df.instances set status = 'completed';
delete from df.instances;
insert into df.nodes (id, instance_id, node_type, query, submitted_by) values ('00000000', :'b_id', 'SQL', '', 'regress_iso_b');
update df.nodes set result = '1';
delete from df.nodes;
truncate df.vars;
select * from df._worker_epoch;
select * from df._schema;
select * from df._signals;
insert into df._executions values (:'b_id', 0, 1, now(), 1);
\set VERBOSITY default

-- Those to whom nothing was granted can do nothing.
set session authorization regress_iso_none;
select df.start('SELECT 1');
\echo :LAST_ERROR_SQLSTATE
select * from df.instances;
select df.version();
-- With nothing but a look at the schema, they can build but not start.
reset session authorization;
grant usage on schema df to regress_iso_none;
set session authorization regress_iso_none;
select 'a' ~> 'b';
select df.start('SELECT 1');
\echo :LAST_ERROR_SQLSTATE
select df.grant_usage('regress_iso_none');
select df.revoke_usage('regress_iso_a');

reset session authorization;
-- The only functions that lend the owner's rights, and who may call them.
select p.oid::regprocedure, p.proconfig, has_function_privilege('regress_iso_none', p.oid, 'execute')
from pg_proc p
where p.pronamespace = 'df'::regnamespace
  and p.prosecdef
  and p.proname in ('_start_instance', '_start_elsewhere', '_cancel_instance', '_send_signal', 'metrics', 'version')
order by 1::text;

drop owned by regress_iso_a, regress_iso_b, regress_iso_none cascade;
drop role regress_iso_a, regress_iso_b, regress_iso_none;
