-- Settings that SQL reads: what cannot be is named.
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on
set pg_durable.list_instances_max_limit = 'many';
select * from df.list_instances();
set pg_durable.list_instances_max_limit = 0;
select * from df.list_instances();
set pg_durable.list_instances_max_limit = 99999999999;
select * from df.list_instances(null, 1, null);
set pg_durable.list_instances_max_limit = '';
select count(*) from df.list_instances();
reset pg_durable.list_instances_max_limit;

-- A word that is neither on nor off counts as off.
set pg_durable.enable_superuser_instances = 'perhaps';
select df._superuser_instances();
set pg_durable.enable_superuser_instances = 'Yes';
select df._superuser_instances();
