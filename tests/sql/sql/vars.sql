\pset format unaligned
\pset tuples_only on
\set SHOW_CONTEXT never
set client_min_messages = warning;
create role regress_vars_a login;
create role regress_vars_b login;
select df.grant_usage('regress_vars_a'), df.grant_usage('regress_vars_b');

set role regress_vars_a;
select df.setvar('city', 'Oslo');
select df.setvar('city', 'Bergen');
select df.setvar('empty', '');
select df.getvar('city'), df.getvar('empty') = '', df.getvar('none') is null;
select df.setvar(null, 'x') is null, df.setvar('x', null) is null, df.getvar(null) is null;

-- One name space per role, and none sees another's.
set role regress_vars_b;
select df.getvar('city') is null;
select df.setvar('city', 'Rome');
select name, value, owner from df.vars;
insert into df.vars (name, value, owner) values ('x', 'y', 'regress_vars_a');
select df.clearvars();
set role regress_vars_a;
select df.getvar('city');
reset role;
select df.getvar('city') is null;
select name, value, owner from df.vars order by name;

-- They act in the caller's transaction.
set role regress_vars_a;
begin;
select df.clearvars();
select df.getvar('city') is null;
rollback;
select df.getvar('city');
select df.unsetvar('city'), df.unsetvar('never set');
select df.getvar('city') is null;

-- In a workflow they can be read, not managed.
set df.in_workflow = 'true';
select df.getvar('empty') = '';
select df.setvar('a', 'b');
\echo :LAST_ERROR_SQLSTATE
select df.unsetvar('a');
select df.clearvars();
reset df.in_workflow;

-- A start takes a snapshot: the caller's own, without nulls; null when there are none.
insert into df.vars (name) values ('nothing');
select df.setvar('quote', '"');
select df.start('SELECT 1', 'with') is not null;
select df.setvar('quote', 'changed later');
set role regress_vars_b;
select df.start('SELECT 1', 'without') is not null;
reset role;
select label, vars from df.instances order by label;

drop owned by regress_vars_a, regress_vars_b;
drop role regress_vars_a, regress_vars_b;
