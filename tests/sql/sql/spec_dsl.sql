\pset format unaligned
\pset tuples_only on
\set SHOW_CONTEXT never
set client_min_messages = warning;

-- Every function that is meant to be called: what it takes and gives, and whether it is strict.
select p.proname || '(' || pg_get_function_arguments(p.oid) || ')', pg_get_function_result(p.oid),
       case when p.proisstrict then 'strict' else 'not strict' end
from pg_proc p
where p.pronamespace = 'df'::regnamespace and p.proname !~ '^_|_op$'
order by p.proname collate "C", pg_get_function_arguments(p.oid) collate "C";
-- None runs with its owner's rights but those that show nothing of a caller's.
select p.proname from pg_proc p
where p.pronamespace = 'df'::regnamespace and p.proname !~ '^_' and p.prosecdef order by 1;
select provolatile, proparallel from pg_proc where oid = 'df.duroxide_schema'::regproc;

-- Building a graph writes nothing and needs no right but to look into the schema.
create role regress_spec_builder nologin;
grant usage on schema df to regress_spec_builder;
set role regress_spec_builder;
begin read only;
set local search_path = '';
select length(('a' |=> 'x' ~> ('b' & 'c')) | (@> ('d' ?> 'e' !> df.break())));
commit;
reset role;
drop owned by regress_spec_builder;
drop role regress_spec_builder;

-- An envelope of each type is used as that graph, by whatever composes it; so is one of a type
-- that cannot be built here.
select t, df.join(e, E'\t' || e || ' ') = format('{"node_type":"JOIN","left_node":%s,"right_node":%s}', e, e)
from unnest(array['SQL', 'THEN', 'IF', 'JOIN', 'LOOP', 'BREAK', 'RACE', 'SLEEP', 'WAIT_SCHEDULE', 'HTTP', 'HTTP_MULTIPART', 'SIGNAL']) t,
     lateral (select format('{"node_type":"%s"}', t)) e (e);
select df.as('{"node_type":"SQL","left_node":null,"right_node":null,"extra_nodes":null,"query":"a","result_name":null}', 'x');
-- A statement keeps all its white space; nobody looks whether it is SQL.
select df.if(E' \n', ' no SQL; at all {x} $y', '-- c');

-- df.start says more of what is no graph.
select df.start('{"node_type":"if","query":7}');
select df.start('{"node_type":"IF","condition_node":5}');
select df.start('{"node_type":"JOIN","extra_nodes":[5]}');
select df.start('{"node_type":"JOIN","extra_nodes":{}}');
select df.start('{"node_type":"SQL","query":{}}');
select df.start('{"node_type":"SQL"}');
\echo :LAST_ERROR_SQLSTATE
-- What is JSON but no node is a statement, and fails as one; so is text that only looks like JSON.
select df.start(s) ~ '^[0-9a-f]{8}$' from unnest(array['{"a":1}', '{"node_type":7}', '{"node_type":"SQL"', '[1]', '"SQL"']) s;
select node_type, query from df.nodes order by query collate "C";

-- The old name of a helper is told by its new one.
select df.start('SELECT 1') as id \gset
update df.instances set status = 'completed', completed_at = now(), due_at = null where id = :'id';
select df.wait_for_completion(:'id') ~> 'SELECT 1';
select df.start(df.wait_for_completion(:'id'));
-- In the name of a signal anything goes.
select df.wait_for_signal(E'a {b} $c\n');

-- The limits hold for df.explain as they do for df.start.
create function pg_temp.chain(n int) returns text language plpgsql as $$
declare graph text := 'SELECT 0';
begin
  for i in 2 .. n loop graph := graph ~> 'SELECT 0'; end loop;
  return graph;
end $$;
select array_length(string_to_array(df.explain(pg_temp.chain(257)), E'\n'), 1);
select replace(df.explain(pg_temp.chain(258)), repeat('.left', 257), '(.left x 257)');
select df.explain(df.join(variadic array_fill('SELECT 0'::text, array[10000])));
-- Deep by whichever child: a condition, a third branch.
create function pg_temp.nested(n int, p_kind text) returns text language plpgsql as $$
declare graph text := 'SELECT 0';
begin
  for i in 1 .. n loop
    graph := case p_kind when 'condition' then df.if(graph, 'a', 'b')
                         when 'while' then df.loop('a', graph)
                         else df.join3('a', 'b', graph) end;
  end loop;
  return graph;
end $$;
select kind, df.start(pg_temp.nested(256, kind)) is not null from unnest(array['condition', 'while', 'extra']) kind;
do $$
declare kind text;
begin
  foreach kind in array array['condition', 'while', 'extra'] loop
    begin
      perform df.start(pg_temp.nested(257, kind));
    exception when sqlstate 'WF007' then
      raise warning '%: %', kind, regexp_replace(sqlerrm, '(\.[a-z_]+(\[0\])?)\1*', '\1…');
    end;
  end loop;
end $$;
