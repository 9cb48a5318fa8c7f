-- Looking at the nodes of one instance.

-- The ids of a node's children. LOOP and IF keep that of their condition in the query,
-- JOIN those of further branches.
create or replace function df._children(
  p_node_type text,
  p_left_node text,
  p_right_node text,
  p_query text
)
returns text[]
language sql immutable
as $$
  select array_remove(
    array[p_left_node, p_right_node]
    || case
      when p_node_type in ('IF', 'LOOP') then array[p_query::json ->> 'condition_node']
      when p_node_type = 'JOIN' then
        string_to_array(translate(p_query::json ->> 'extra_nodes', '[]" ', ''), ',')
    end,
    null);
$$;

-- How deep below the root each node of an instance lies; the root at 0. No graph has as many nodes
-- as the limit says: it ends the walk through rows that are none, but a circle.
create or replace function df._depths(p_instance text)
returns table (id text, depth int)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  with recursive tree (id, depth, children) as (
    select n.id, 0, df._children(n.node_type, n.left_node, n.right_node, n.query)
    from df.instances i
    join df.nodes n on n.instance_id = i.id and n.id = i.root_node
    where i.id = p_instance
    union all
    select n.id, t.depth + 1, df._children(n.node_type, n.left_node, n.right_node, n.query)
    from tree t
    cross join unnest(t.children) c (id)
    join df.nodes n on n.instance_id = p_instance and n.id = c.id
  )
  select t.id, t.depth from tree t limit 20000;
$$;

-- Who last changed a node's status: <scope>::<number>. The root's scope is the instance. Each
-- branch of a JOIN or RACE, and each LOOP below the root, has one of its own, named
-- <scope around it>::<number there>::<its root>. The number is the iteration, in the scope of a
-- LOOP, else 1.
--
-- p_pattern is that text with {k} for the iteration of the k-th of the LOOPs around the node. Of
-- the innermost one it is the node's generation; which iteration of the next that was part of, the
-- LOOP's row tells: its present one, or, for iterations before the first of that, the one before.
-- p_loops holds of each LOOP its generation, entered_in, first_iteration and iteration.
create or replace function df._execution_id(p_pattern text, p_generation int, p_loops int[])
returns text
language plpgsql immutable
as $$
declare
  v_text text := p_pattern;
  v_iteration int := p_generation;
  v_at int;
begin
  for k in reverse cardinality(p_loops) / 4 .. 1 loop
    v_text := replace(v_text, format('{%s}', k), v_iteration::text);
    v_at := 4 * k - 3;
    v_iteration := case
      when p_loops[v_at + 1] = 0 or v_iteration > p_loops[v_at + 3] then p_loops[v_at]
      when v_iteration >= p_loops[v_at + 2] then p_loops[v_at + 1]
      else greatest(p_loops[v_at + 1] - 1, 1)
    end;
  end loop;
  return v_text;
end
$$;

-- What each node's status means, seen from its ancestors, and when it was that it ran.
--
-- A node's generation is the number of an iteration of the nearest LOOP around it. It is superseded
-- when that loop has gone on to another, or is superseded itself: then what it did belongs to the
-- past. Below a node that has ended, and is not superseded, whatever did not run never will.
--
-- The walk goes from a line above the root down, each line telling its children:
--   under_way, left_behind  the iteration under way in the nearest LOOP; whether it is superseded
--   stopped                 nothing from here on will run: it lost a race, or all was cancelled
--   ended                   the nearest ancestor that has ended and is not superseded
--   newest, newest_number   the ancestor stamped with the highest number, the deeper of two
--   scope, number, opens    see df._execution_id; whether children begin scopes of their own
--   loops                   the rows of the LOOPs around, outermost first
create or replace function df._seen(p_instance text)
returns table (
  id text, inferred_status text, ancestor_id text, superseded boolean, execution_id text
)
language sql stable
as $$
  with recursive tree as (
    select null::text as id, null::text as status, null::int as generation,
           array[i.root_node]::text[] as children, false as superseded,
           1 as under_way, false as left_behind, false as stopped,
           null::text as ended, null::text as ended_above, null::text as newest_above,
           null::text as newest, null::int as newest_number,
           i.id::text as scope, '1' as number, false as opens, '{}'::int[] as loops,
           '{}'::int[] as loops_around, null::text as own_number
    from df.instances i
    where i.id = p_instance
    union all
    select n.id::text, n.status::text, n.generation,
           df._children(n.node_type, n.left_node, n.right_node, n.query), o.superseded,
           case when o.is_loop then o.iteration else t.under_way end,
           case when o.is_loop then o.superseded else t.left_behind end,
           o.stopped,
           case when o.terminal and not o.superseded then n.id else t.ended end,
           t.ended, t.newest,
           case when s.stamp >= coalesce(t.newest_number, 0) then n.id else t.newest end,
           greatest(t.newest_number, s.stamp),
           s.scope, s.number, n.node_type in ('JOIN', 'RACE'),
           case when o.is_loop
             then t.loops || array[n.generation, coalesce(n.entered_in, 0),
                                   coalesce(n.first_iteration, 0), coalesce(n.iteration, 0)]
             else t.loops end,
           t.loops,
           case when o.is_loop then o.iteration::text else s.number end
    from tree t
    cross join unnest(t.children) c (id)
    join df.nodes n on n.instance_id = p_instance and n.id = c.id
    cross join lateral (
      select n.status in ('completed', 'failed') as terminal,
             n.node_type = 'LOOP' as is_loop,
             t.left_behind or n.generation < t.under_way as superseded,
             t.stopped or not t.left_behind
                          and n.stopped_through >= greatest(n.generation, t.under_way) as stopped,
             case when n.entered_in = n.generation then n.iteration
                  else coalesce(n.iteration, 0) + 1 end as iteration,
             t.id is not null and (t.opens or n.node_type = 'LOOP') as begins_scope
    ) o
    cross join lateral (
      select case when o.begins_scope then concat(t.scope, '::', t.number, '::', n.id)
                  else t.scope end as scope,
             case when o.is_loop then format('{%s}', cardinality(t.loops) / 4 + 1)
                  when o.begins_scope then '1'
                  else t.number end as number,
             case when n.status = 'pending' then null
                  when o.is_loop then o.iteration
                  when o.begins_scope or t.number = '1' then 1
                  else n.generation end as stamp
    ) s
  )
  select t.id,
    case
      when t.status in ('completed', 'failed') and not t.superseded then t.status
      when t.ended_above is not null or t.stopped then 'skipped'
      when t.status = 'running' and not t.superseded then 'running'
      else 'pending'
    end,
    case
      when t.status in ('completed', 'failed') and not t.superseded then null
      when t.ended_above is not null then t.ended_above
      when t.status in ('completed', 'failed') and not t.stopped then t.newest_above
    end,
    t.superseded,
    case when t.status <> 'pending' then
      df._execution_id(concat(t.scope, '::', t.own_number), t.generation, t.loops_around)
    end
  from tree t
  where t.id is not null
  limit 20000;                   -- see df._depths
$$;

-- Every node has its line in the tree, so a left join would do; a full join cannot be run as
-- a nested loop, which the planner likes too well for an instance of unknown size.
create or replace function df.instance_nodes(instance_id_param text)
returns table (
  node_id text, node_type text, query text, result_name text, left_node text, right_node text,
  status text, result text, status_details text, inferred_status text,
  inferred_status_from_ancestor_id text, updated_at timestamptz
)
language sql stable
as $$
  select n.id, n.node_type, n.query, n.result_name, n.left_node, n.right_node, n.status,
    case when n.status in ('completed', 'failed') then df._jsonb_text(n.result) end,
    nullif(
      jsonb_strip_nulls(jsonb_build_object('execution_id', t.execution_id))
      || coalesce(n.status_details, '{}'),
      '{}')::text,
    coalesce(t.inferred_status, n.status), t.ancestor_id, n.updated_at
  from (select * from df.nodes where instance_id = instance_id_param) n
  full join df._seen(instance_id_param) t on t.id = n.id;
$$;

-- The older form, for programs that still call it; the second argument has no effect.
create or replace function df.instance_nodes(instance_id_param text, last_n_executions int)
returns table (
  execution_id bigint, node_id text, node_type text, query text, result_name text,
  left_node text, right_node text, status text, result text, updated_at timestamptz
)
language sql stable
as $$
  select 1::bigint, n.node_id, n.node_type, n.query, n.result_name,
         n.left_node, n.right_node, n.status, n.result, n.updated_at
  from df.instance_nodes(instance_id_param) n;
$$;
