\pset format unaligned
\pset tuples_only on
\set SHOW_CONTEXT never
set client_min_messages = warning;
create role "regress new's \role" login;
create role regress_new_nologin nologin;
select df.grant_usage('regress new''s \role'), df.grant_usage('regress_new_nologin');
create view instances as select label, status, submitted_by from df.instances order by label;
grant select on instances to public;
set role "regress new's \role";

-- It needs dblink; but first it is checked whether the role can log in, and that is not in a workflow.
select df.start('SELECT 1', transaction_mode => 'new');
\echo :LAST_ERROR_SQLSTATE
set role regress_new_nologin;
select df.start('SELECT 1', transaction_mode => 'new');
\echo :LAST_ERROR_SQLSTATE
set df.in_workflow = 'true';
select df.start('SELECT 1', transaction_mode => 'new');
\echo :LAST_ERROR_SQLSTATE
select df.start('SELECT 1', transaction_mode => 'newer');
reset df.in_workflow;

-- In a schema that nobody looks at.
reset role;
create schema "Links's";
create extension dblink schema "Links's";
set role "regress new's \role";

-- It survives a rollback of the caller, and sees what is committed only.
select df.setvar('v', 'committed');
begin;
select df.setvar('v', 'open');
select df.start('SELECT ''{v}'' \ ', 'it''s \ new', current_database(), 'NEW') as id \gset
select df.status(:'id');
rollback;
select * from instances;
select query, vars from df.instances i join df.nodes n on n.instance_id = i.id where i.id = :'id';
select df.start('a' ~> 'b', transaction_mode => 'New') ~ '^[0-9a-f]{8}$';
select df.start('a', 'null database', null, 'new') is not null;

-- In the name of the effective role; who is a superuser must be let.
reset role;
select df.start('a', 'superuser', transaction_mode => 'new') is not null;
set role "regress new's \role";
\set VERBOSITY sqlstate
insert into df._start_new (fut, caller) values ('a', 'postgres');
insert into df._start_new values ('a', 'b', null, null, 'postgres');
\set VERBOSITY default
insert into df._start_new (fut, label) values ('a', 'door') returning id ~ '^[0-9a-f]{8}$';
select distinct submitted_by::text collate "C" from instances order by 1;

-- Errors of the other session keep their SQLSTATE.
select df.start('{"node_type":"FOO"}', transaction_mode => 'new');
\echo :LAST_ERROR_SQLSTATE
select df.start('{"node_type":"THEN"}', transaction_mode => 'new');
\echo :LAST_ERROR_SQLSTATE
select df.start('a', null, 'no such database', 'new');
\echo :LAST_ERROR_SQLSTATE

-- It is as any other session of the role; a role that cannot connect cannot start.
reset role;
alter role "regress new's \role" connection limit 0;
set role "regress new's \role";
do $$ begin
  perform df.start('a', transaction_mode => 'new');
exception when sqlstate 'WF010' then
  raise warning '%', regexp_replace(replace(sqlerrm, current_database(), '<database>'), 'on socket ".*" failed', 'on socket "…" failed');
end $$;
reset role;
alter role "regress new's \role" connection limit -1;

-- Few at a time. A slot is free again when it is not needed, also after an error.
set role "regress new's \role";
select pg_advisory_lock(1346982470, 0);
select df.start('a', 'second slot', transaction_mode => 'new') is not null;
set pg_durable.max_new_transaction_starts = 1;
reset role;
select "Links's".dblink_connect_u('other', format('dbname=%L host=%L port=%s user=postgres', current_database(), split_part(current_setting('unix_socket_directories'), ',', 1), current_setting('port')));
select taken from "Links's".dblink('other', 'select pg_try_advisory_lock(1346982470, 1)') r (taken boolean);
set pg_durable.new_transaction_start_timeout = 1;
set role "regress new's \role";
select pg_advisory_unlock_all();
select df.start('a', 'one slot', transaction_mode => 'new') is not null;
reset role;
select taken from "Links's".dblink('other', 'select pg_try_advisory_lock(1346982470, 0)') r (taken boolean);
set role "regress new's \role";
select df.start('a', transaction_mode => 'new');
\echo :LAST_ERROR_SQLSTATE
reset role;
select "Links's".dblink_disconnect('other');
reset pg_durable.max_new_transaction_starts;
select count(*) from pg_locks where locktype = 'advisory' and classid = 1346982470 and pid = pg_backend_pid();

-- When it is cancelled while it waits for a lock of its own caller, nothing is left behind.
begin;
lock df.instances;
set local role "regress new's \role";
set local statement_timeout = '300ms';
select df.start('a', 'blocked', transaction_mode => 'new');
\echo :LAST_ERROR_SQLSTATE
rollback;
select count(*) from instances where label = 'blocked';
select count(*) from pg_locks where locktype = 'advisory' and classid = 1346982470;
select "Links's".dblink_get_connections();

-- Functions that others plant beside those of dblink are not called.
grant create, usage on schema "Links's" to "regress new's \role";
set role "regress new's \role";
create function "Links's".dblink_connect_u(varchar, varchar) returns text language plpgsql as $$ begin raise exception 'hijacked'; end $$;
create function "Links's".dblink_disconnect(name) returns text language plpgsql as $$ begin raise exception 'hijacked'; end $$;
select df.start('a', 'not hijacked', transaction_mode => 'new') is not null;
select df._start_over_dblink('"Links''s"', 'postgres', 'select 1');

reset role;
select * from instances;
drop view instances;
drop schema "Links's" cascade;
drop owned by "regress new's \role", regress_new_nologin;
drop role "regress new's \role", regress_new_nologin;
