\pset format unaligned
\pset tuples_only on
\pset null (null)
\set SHOW_CONTEXT never
set client_min_messages = warning;
create role regress_failures login;
create role regress_failures_other login;
select df.grant_usage('regress_failures'), df.grant_usage('regress_failures_other');

-- Three steps, with fixed ids: then1 (a, then2 (b, c)). Fail it the way a worker would.
create function given(p_id text) returns void language plpgsql as $$
declare r record;
begin
  perform df.start('{"node_type":"THEN","result_name":"then1","left_node":{"node_type":"SQL","query":"a"},"right_node":{"node_type":"THEN","result_name":"then2","left_node":{"node_type":"SQL","query":"b {v}"},"right_node":{"node_type":"SQL","query":"c"}}}', p_id);
  perform df._given(p_id);
end $$;
create function df._given(p_id text) returns void language plpgsql security definer as $$
declare r record;
begin
  update df.nodes n set instance_id = p_id from df.instances i where i.label = p_id and n.instance_id = i.id;
  update df.instances set id = p_id, due_at = null where label = p_id;
  for r in
    select id, '0000000' || case left(coalesce(result_name, query), 5) when 'a' then 'a' when 'b {v}' then 'b' when 'c' then 'c' when 'then1' then '1' else '2' end as new
    from df.nodes where instance_id = p_id
  loop
    update df.nodes set id = r.new where instance_id = p_id and id = r.id;
    update df.nodes set left_node = r.new where instance_id = p_id and left_node = r.id;
    update df.nodes set right_node = r.new where instance_id = p_id and right_node = r.id;
    update df.instances set root_node = r.new where id = p_id and root_node = r.id;
  end loop;
end $$;
set role regress_failures;
select count(given('0000000' || g)) from generate_series(1, 6) g;
reset role;
update df.nodes set status = 'failed', result = '"SQL execution failed: error returned from database: oops"', updated_at = clock_timestamp() where instance_id = '00000001' and id = '0000000b';
update df.nodes set status_details = '{"sqlstate": "23505", "detail": "Key (a)=(1) already exists.", "hint": "Take another.", "position": "8", "constraint": "t_pkey", "context": "a trigger", "statement": "b 1"}' where instance_id = '00000001' and id = '0000000b';
update df.nodes set status = 'failed', result = '"SQL execution failed: error returned from database: oops"', status_details = '{"sqlstate": "23505", "detail": "Key (a)=(1) already exists.", "hint": "Take another.", "position": "8", "constraint": "t_pkey", "context": "a trigger", "node": "0000000b"}' where instance_id = '00000001' and id in ('00000001', '00000002');
update df.instances set status = 'failed', completed_at = now(), output = 'SQL execution failed: error returned from database: oops' where id = '00000001';

-- The instance tells why it failed, and the step in which; its owner can read the statement.
set role regress_failures;
select df.result('00000001');
select status, failure from df.instance_info('00000001');
select df.result('00000001')::json -> 'error' ->> 'statement';
select node_id, status, result, status_details from df.instance_nodes('00000001') order by node_id;
set role regress_failures_other;
select df.result('00000001');
select count(*) from df.instance_info('00000001');
reset role;

-- Less is known: of a failure that is no error of the server's, of one that an older version has
-- recorded, of one before the first step. What is not known is left out.
update df.nodes set status = 'failed', result = '"no result named x"', status_details = '{"sqlstate": "WF008"}' where instance_id = '00000002' and id = '0000000b';
update df.nodes set status = 'failed', result = '"no result named x"', status_details = '{"sqlstate": "WF008", "node": "0000000b"}' where instance_id = '00000002' and id = '00000001';
update df.instances set status = 'failed', output = 'no result named x' where id = '00000002';
update df.nodes set status = 'failed', result = '"old"', status_details = '{"sqlstate": "22012"}', updated_at = '2026-01-02Z' where instance_id = '00000003' and id in ('0000000c', '00000001', '00000002');
update df.nodes set status = 'failed', result = '"an earlier one"', updated_at = '2026-01-01Z' where instance_id = '00000003' and id = '0000000a';
update df.instances set status = 'failed', output = 'old' where id = '00000003';
update df.nodes set status = 'failed', result = '"no details"' where instance_id = '00000004' and id in ('0000000b', '00000001');
update df.nodes set status_details = '{"sqlstate": "42601", "statement": "b 1"}' where instance_id = '00000004' and id = '0000000b';
update df.instances set status = 'failed', output = 'no details' where id = '00000004';
update df.nodes set status = 'failed', result = '"of a branch"' where instance_id = '00000005' and id = '0000000b';
update df.instances set status = 'failed', output = 'Instance 00000005: submitted_by role no longer exists in pg_roles' where id = '00000005';
set role regress_failures;
select g, df.result('0000000' || g) from generate_series(2, 5) g;

-- Of a single step that failed; of what has not failed there is no failure.
select df.start('d', 'single') is not null;
reset role;
update df.nodes n set instance_id = '00000007', id = '0000000d', status = 'failed', result = '"oops"', status_details = '{"sqlstate": "42601", "statement": "d"}' from df.instances i where i.label = 'single' and n.instance_id = i.id;
update df.instances set id = '00000007', root_node = '0000000d', status = 'failed', output = 'oops' where label = 'single';
update df.nodes set status = 'failed', result = '"oops"', status_details = '{"sqlstate": "42601"}' where instance_id = '00000006' and id = '0000000b';
set role regress_failures;
select df.result('00000007');
select df.result('00000006'), failure from df.instance_info('00000006');
select df.cancel('00000006') is not null;
select df.result('00000006'), failure from df.instance_info('00000006');
reset role;
update df.nodes set status = 'completed', result = '1', status_details = '{"delivery": "at least once"}' where instance_id = '00000006' and id = '00000001';
update df.instances set status = 'completed' where id = '00000006';
set role regress_failures;
select df.result('00000006'), failure from df.instance_info('00000006');

reset role;
drop function given, df._given;
drop owned by regress_failures, regress_failures_other;
drop role regress_failures, regress_failures_other;
