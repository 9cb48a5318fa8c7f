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

-- How deep below the root each node of an instance lies; the root at 0.
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
  select t.id, t.depth from tree t;
$$;

-- What a node's status means, seen from its ancestors: below a node that has ended, whatever
-- did not run never will. A node that was stopped never will either.
create or replace function df._inferred(p_instance text)
returns table (id text, inferred_status text, ancestor_id text)
language sql stable
as $$
  with recursive tree (id, status, stopped, children, ended_ancestor) as (
    select n.id::text, n.status, n.stopped,
           df._children(n.node_type, n.left_node, n.right_node, n.query),
           null::text
    from df.instances i
    join df.nodes n on n.instance_id = i.id and n.id = i.root_node
    where i.id = p_instance
    union all
    select n.id::text, n.status, n.stopped,
           df._children(n.node_type, n.left_node, n.right_node, n.query),
           case when t.status in ('completed', 'failed') then t.id else t.ended_ancestor end
    from tree t
    cross join unnest(t.children) c (id)
    join df.nodes n on n.instance_id = p_instance and n.id = c.id
  )
  select t.id,
    case
      when t.status in ('completed', 'failed') then t.status
      when t.ended_ancestor is not null or t.stopped then 'skipped'
      else t.status
    end,
    case when t.status in ('pending', 'running') then t.ended_ancestor end
  from tree t;
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
  select n.id, n.node_type, n.query, n.result_name, n.left_node, n.right_node,
    n.status, df._jsonb_text(n.result),
    nullif(
      case
        when n.status = 'pending' then '{}'
        else jsonb_build_object('execution_id', format('%s::%s', n.instance_id, n.generation))
      end || coalesce(n.status_details, '{}'),
      '{}')::text,
    coalesce(t.inferred_status, n.status), t.ancestor_id, n.updated_at
  from (select * from df.nodes where instance_id = instance_id_param) n
  full join df._inferred(instance_id_param) t on t.id = n.id;
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
