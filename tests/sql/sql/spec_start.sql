\pset format unaligned
\pset tuples_only on
\set SHOW_CONTEXT never
set client_min_messages = warning;
create role regress_spec_start login;
create role regress_spec_nologin nologin;
select df.grant_usage('regress_spec_start'), df.grant_usage('regress_spec_nologin');

-- Checked in this order: the mode, the graph's outside, the database, LOGIN, a superuser, its inside.
\set bad '{"node_type":"THEN","left_node":{"node_type":"FOO"},"right_node":{"node_type":"SQL","query":"a"}}'
set role regress_spec_nologin;
select df.start('{"node_type":"FOO"}', null, 'no such database', 'neither');
select df.start('{"node_type":"FOO"}', null, 'no such database');
select df.start(:'bad', null, 'no such database');
select df.start(:'bad');
reset role;
set pg_durable.enable_superuser_instances = off;
select df.start(:'bad');
reset pg_durable.enable_superuser_instances;
set role regress_spec_start;
select df.start(:'bad');
-- The database is taken by its exact name, and stored with instance and nodes.
do $$ begin
  perform df.start('a', null, upper(current_database()));
exception when others then
  raise warning '% %', sqlstate, replace(sqlerrm, upper(current_database()), '<DATABASE>');
end $$;
select df.start('a' ~> 'b', 'here', current_database()) is not null;
select count(*), bool_and(n.database = current_database() and i.database = n.database)
from df.nodes n join df.instances i on i.id = n.instance_id;

-- Each call makes an instance of its own, though the label is the same; all of it was created when
-- the transaction began.
begin;
select df.start('a' ~> 'b', 'same') <> df.start('a' ~> 'b', 'same');
select count(*), bool_and(n.created_at = now() and i.created_at = now() and i.updated_at = now())
from df.nodes n join df.instances i on i.id = n.instance_id where i.label = 'same';
commit;
-- Nothing of either has run, and no two nodes have the same id.
select count(distinct n.id), bool_and(n.status = 'pending' and n.result is null)
from df.nodes n join df.instances i on i.id = n.instance_id where i.label = 'same';

-- What is given as a label stays as it is: it is not filled in.
select df.setvar('city', 'Oslo') \g /dev/null
select df.start('a', '{city} $x') as id \gset
select label from df.instances where id = :'id';
select df.start('a', null) as id \gset
select label is null from df.instances where id = :'id';

-- In the caller's transaction: a savepoint takes a start with it, and leaves the others.
begin;
select df.start('a', 'before') is not null;
savepoint s;
select df.start('a', 'after') is not null;
rollback to s;
commit;
select label from df.instances where label in ('before', 'after');
-- The variables, too, are those of the transaction.
begin;
select df.setvar('city', 'Rome') \g /dev/null
select df.start('a', 'in Rome') is not null;
rollback;
select df.start('a', 'in Oslo') is not null;
select label, vars from df.instances where label like 'in %';
reset role;

drop owned by regress_spec_start, regress_spec_nologin;
drop role regress_spec_start, regress_spec_nologin;
