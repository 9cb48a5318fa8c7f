-- What became of nodes, as rows. Progress is recorded by df._checkpoint and df._save, which both call
-- df._record, and by df._checkpoint_alike, which does the commonest part of that itself.

-- Write the outcomes of nodes. The node row decides who may finish a step: it must not be terminal
-- in this generation or belong to a later one, and nobody may have stopped it. False: some row was
-- not so. Besides 'completed' and 'failed' a status may be
--   stopped    the node lost a race: in this generation, or an earlier one, it never will finish
--   iterated   a LOOP begins its next iteration: df._iterate
-- Two writers of one instance must lock its rows in the same order: deeper nodes come first. The
-- graphs that df._graph makes now have them in this order in the key.
create or replace function df._record(
  p_instance text, p_nodes text[], p_generations int[], p_statuses text[],
  p_results text[], p_details text[]
) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_all boolean := true;
begin
  for i in 1 .. cardinality(p_nodes) loop
    case p_statuses[i]
      when 'stopped' then
        update df.nodes n
        set stopped_through = p_generations[i],
            iteration = coalesce((p_details[i]::json ->> 'iteration')::int, n.iteration),
            due_at = null
        where n.instance_id = p_instance
          and n.id = p_nodes[i]
          and n.stopped_through < p_generations[i]
          and (n.generation < p_generations[i]
               or n.generation = p_generations[i] and n.status in ('pending', 'running'));
      when 'iterated' then
        v_all := v_all and df._iterate(
          p_instance, p_nodes[i], p_generations[i], p_results[i]::json, p_details[i]::json);
      else
        update df.nodes n
        set status = p_statuses[i],
            result = p_results[i]::json,
            error = case when p_statuses[i] = 'failed' then p_results[i]::json #>> '{}' end,
            status_details = p_details[i]::jsonb,
            generation = p_generations[i],
            due_at = null,
            updated_at = clock_timestamp()
        where n.instance_id = p_instance
          and n.id = p_nodes[i]
          and n.stopped_through < p_generations[i]
          and (n.generation < p_generations[i]
               or n.generation = p_generations[i] and n.status in ('pending', 'running'));
        if not found then
          v_all := false;
        elsif p_details[i] is not null then
          perform df._record_more(p_instance, p_nodes[i], p_details[i]::jsonb);
        end if;
    end case;
  end loop;
  return v_all;
end $$;

-- What a node's details ask for besides being kept: the end of a LOOP keeps the numbers of its
-- iterations, so that none is used again; a signal vanishes with the commit that uses it.
create or replace function df._record_more(p_instance text, p_node text, p_details jsonb)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_details ? 'iteration' then
    update df.nodes n
    set status_details = nullif(p_details - '{first,iteration}'::text[], '{}'),
        names = case when n.entered_in = n.generation then n.names end,
        entered_in = n.generation,
        first_iteration = (p_details ->> 'first')::int,
        iteration = (p_details ->> 'iteration')::int
    where n.instance_id = p_instance
      and n.id = p_node;
  end if;
  delete from df._signals s
  where s.instance_id = p_instance
    and s.id = (p_details ->> 'signal')::bigint;
end $$;

-- Note that a LOOP begins its next iteration, with the names it carries into it. p_state:
--   first, iteration   the numbers of the first iteration since the loop was entered, and of this
--   until              when it begins (seconds since 1970), if it must not do so at once
--   root               for the root of the graph: its iterations are the instance's executions
create or replace function df._iterate(
  p_instance text, p_node text, p_generation int, p_names json, p_state json
) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_iteration int := (p_state ->> 'iteration')::int;
begin
  update df.nodes n
  set status = 'running',
      result = null,
      error = null,
      status_details = null,
      generation = p_generation,
      entered_in = p_generation,
      first_iteration = (p_state ->> 'first')::int,
      iteration = v_iteration,
      names = p_names,
      due_at = case when p_state ->> 'until' is not null then
                 to_timestamp(least((p_state ->> 'until')::float8, 1e12)) end,
      updated_at = clock_timestamp()
  where n.instance_id = p_instance
    and n.id = p_node
    and n.stopped_through < p_generation
    and (n.generation < p_generation
         or n.generation = p_generation and n.status in ('pending', 'running'))
    -- A late writer must not lead back to an iteration that is over.
    and coalesce(n.iteration, 0) < v_iteration;
  if not found or (p_state ->> 'root') is null then
    return found;
  end if;

  insert into df._executions as e (instance_id, slot, execution, ended_at, events)
  select p_instance, (v_iteration - 1) % df._executions_kept(), v_iteration - 1,
         clock_timestamp(), count(*)
  from df.nodes n
  where n.instance_id = p_instance
    and n.status <> 'pending'
  on conflict (instance_id, slot) do update
  set execution = excluded.execution, ended_at = excluded.ended_at, events = excluded.events;
  return true;
end $$;

-- How many finished executions of an instance can be looked up.
create or replace function df._executions_kept() returns int
language sql immutable parallel safe
return 100;

revoke execute on function
  df._record(text, text[], int[], text[], text[], text[]),
  df._record_more(text, text, jsonb),
  df._iterate(text, text, int, json, json)
from public;
