\pset format unaligned
\pset tuples_only on
\set SHOW_CONTEXT never
set client_min_messages = warning;
create role regress_spec_look login;
create role regress_spec_other login;
select df.grant_usage('regress_spec_look'), df.grant_usage('regress_spec_other');
create function tree(p_input text) returns text language sql
as $$ select regexp_replace(df.explain(p_input), ' +$', '', 'gn') $$;

-- Whatever begins like a statement is explained as one, in any case.
select distinct tree(word || ' x') = 'SQL: ' || word || ' x',
       tree(lower(word) || E'\nx') = 'SQL: ' || lower(word) || E'\nx'
from unnest(array['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'WITH', 'CREATE', 'ALTER', 'DROP', 'CALL', 'DO',
                  'TRUNCATE', 'GRANT', 'REVOKE', 'EXPLAIN']) word;
select tree(E' \n 00000000\t');
select tree('0000000');
select tree('0000000g');
-- Cut where they are one too long, and not before.
select tree(df.seq(repeat('s', 50), repeat('s', 51)));
select tree(df.break(repeat('b', 20)) ~> df.break(repeat('b', 21)));
select tree(df.seq(format('{"node_type":"HTTP","query":"{\"url\":\"%s\",\"method\":\"GET\"}"}', repeat('u', 40)),
                   format('{"node_type":"HTTP_MULTIPART","query":"{\"url\":\"%s\",\"method\":\"PUT\"}"}', repeat('u', 41))));
-- Names: of every node but a race and a sequence.
select tree(df.as(df.race(df.as(df.seq(df.as('a', 'leaf'), 'b'), 'sequence'),
                          df.as(df.if('c', df.as(df.sleep(1), 'sleep'), df.as(df.break(), 'break')), 'if')), 'race'));
-- A sequence under any label: its steps stand below each other.
select tree(df.if('a' ~> 'b', 'c' ~> 'd', 'e' ~> 'f') & df.loop('g' ~> 'h', 'i' ~> 'j') ~> 'k');
-- Evaluated with the caller's rights, and nothing is started.
set role regress_spec_look;
select tree($$ df.as('a', (select rolname from pg_authid limit 1)) $$);
\echo :LAST_ERROR_SQLSTATE
select tree($$ df.as('a', 'b') $$);
select count(*) from df.instances;

-- A label with anything in it; and without one.
select df.start('a', E'(x)\ny') as one \gset
select df.start('a') as two \gset
select replace(tree(:'one'), :'one', '<id>');
select replace(tree(:'two'), :'two', '<id>');
select df.cancel(:'one', E'no "more"') = format('Instance %s cancelled: no "more"', :'one');
select status, output from df.list_instances('cancelled');
-- Output is shown to the sixtieth character.
reset role;
update df.instances set output = 'canceled: ' || repeat('é', 50) where id = :'one';
select split_part(df.explain(:'one'), E'\n', 4);
update df.instances set output = 'canceled: ' || repeat('é', 51) where id = :'one';
select split_part(df.explain(:'one'), E'\n', 4);

-- What another role sees of it, by each function: nothing.
set role regress_spec_other;
select df.status(:'two') is null, df.result(:'two') is null, (select count(*) from df.list_instances()),
       (select count(*) from df.list_instances(null, 10, null)), (select count(*) from df.instance_info(:'two')),
       (select count(*) from df.instance_executions(:'two')), (select count(*) from df.instance_nodes(:'two')),
       (select count(*) from df.instance_nodes(:'two', 5)), df.explain(:'two') = format('Instance ''%s'' not found', :'two');
\set VERBOSITY sqlstate
select df.cancel(:'two');
select df.signal(:'two', 'go');
select df.await_instance(:'two');
\set VERBOSITY default
-- A member of its role neither, unless it becomes it.
reset role;
grant regress_spec_look to regress_spec_other;
set session authorization regress_spec_other;
select df.status(:'two') is null;
set role regress_spec_look;
select df.status(:'two');
reset session authorization;

-- Arguments that are null, in turn.
select df.await_instance(null) is null, df.await_instance(:'two', null) is null, df.cancel(null, 'x') is null,
       df.explain(null) is null, df.run(null);
select count(*) from df.list_instances(null, 10, null, null);
-- Checked first: the time, then the instance.
select df.await_instance('ffffffff', -1);
select df.wait_for_completion('ffffffff', 0);
select df.wait_for_completion('ffffffff');
set df.in_workflow = 'true';
select df.wait_for_completion('ffffffff', 0);
reset df.in_workflow;

reset role;
drop function tree;
drop owned by regress_spec_look, regress_spec_other;
drop role regress_spec_look, regress_spec_other;
