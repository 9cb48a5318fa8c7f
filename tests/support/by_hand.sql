-- What a worker calls, in few words and with ids that can be told beforehand.

create schema by_hand;

-- What steps have done: one row for each commit of a statement.
create table by_hand.effects (instance text, step text, generation int);

-- Start a workflow; p_nodes names its nodes by what they run, the root last.
create function by_hand.start(p_workflow text, p_instance text default '00000001')
returns void
language plpgsql
as $$
declare
  v_id text := df.start(p_workflow);
begin
  create temporary table renamed on commit drop as
    select n.id as old,
           lpad(case
             when n.id = i.root_node and n.left_node is not null then 'f'
             else coalesce(substring(n.query from '^select ''(\w)'''), 'e')
           end, 8, '0') as new
    from df.nodes n
    join df.instances i on i.id = n.instance_id
    where n.instance_id = v_id;
  update df.nodes n
  set id = (select r.new from renamed r where r.old = n.id),
      left_node = (select r.new from renamed r where r.old = n.left_node),
      right_node = (select r.new from renamed r where r.old = n.right_node),
      instance_id = p_instance
  where n.instance_id = v_id;
  update df.instances i
  set id = p_instance,
      root_node = (select r.new from renamed r where r.old = i.root_node)
  where i.id = v_id;
end $$;

-- The checkpoint for nodes by the last letters of their ids, as a worker would call it; all completed,
-- unless said otherwise.
create function by_hand.checkpoint(
  p_worker bigint, p_nodes text, p_outcome text default null, p_statuses text[] default null
)
returns void
language plpgsql
as $$
declare
  v_nodes text[] := array(select lpad(l, 8, '0') from regexp_split_to_table(p_nodes, '') l);
begin
  if p_statuses is null and p_outcome is distinct from 'failed' and length(p_nodes) <= 4 then
    perform df._checkpoint_alike('00000001', p_worker, v_nodes, 1, '{}', p_outcome is not null);
    return;
  end if;
  perform df._checkpoint(
    '00000001', p_worker, v_nodes, array_fill(1, array[length(p_nodes)]),
    coalesce(p_statuses, array_fill('completed'::text, array[length(p_nodes)])),
    array_fill('{}'::text, array[length(p_nodes)]),
    array_fill(null::text, array[length(p_nodes)]),
    p_outcome, null);
end $$;

-- df._save of one thing; what could not be saved, and why.
create function by_hand.save(p_worker bigint, p_then text default null, p_waits text default null)
returns table (refused text)
language sql
as $$
  select s.reason
  from df._save(p_worker, json_build_array(json_build_object(
    'instance', '00000001', 'nodes', '{}'::text[], 'generations', '{}'::text[],
    'statuses', '{}'::text[], 'results', '{}'::text[], 'details', '{}'::text[],
    'then', p_then, 'delay', 0, 'attempts', 0,
    'waits', (select coalesce(json_agg(json_build_object('node', lpad(l, 8, '0'), 'generation', 1)), '[]')
              from regexp_split_to_table(p_waits, '') l)))) s
$$;

create function by_hand.claim(p_worker bigint)
returns table (claimed text)
language sql
as $$
  -- Where the session got to, if it was slow, would have it look again a little later.
  select pg_catalog.set_config('df.claims', '', false);
  select c.id from df._claim(p_worker, 10) c where c.id is not null
$$;

-- What is committed, as far as it matters who may write it.
create function by_hand.look()
returns table (instance text, worker bigint, due boolean, nodes text, effects text)
language sql
as $$
  select i.status, i.worker, case when i.worker is null then i.due_at <= clock_timestamp() end,
    (select string_agg(right(n.id, 1) || ':' || n.status
                       || case when n.stopped_through > 0 then ' (stopped)' else '' end,
                       ', ' order by n.id)
     from df.nodes n
     where n.instance_id = i.id),
    (select coalesce(string_agg(e.step, ', ' order by e.step), 'none')
     from by_hand.effects e
     where e.instance = i.id)
  from df.instances i
$$;
