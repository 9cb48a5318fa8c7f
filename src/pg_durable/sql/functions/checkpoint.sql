-- The only functions that record progress.

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

-- Record a step in the transaction of its statement, and finish the instance with it when
-- it was the last (p_outcome). Runs in the submitting role's session, or in one of a worker that
-- took that role for the statement: it can only touch what the role submitted, and only while
-- p_worker holds the claim.
create or replace function df._checkpoint(
  p_instance text, p_worker bigint, p_nodes text[], p_generations int[], p_statuses text[],
  p_results text[], p_details text[], p_outcome text, p_output text
) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_outcome is null then
    perform from df.instances i
    where i.id = p_instance
      and i.worker = p_worker
      and (i.submitted_by = quote_ident(session_user)::regrole or df._called_by_worker());
  else
    update df.instances i
    set status = p_outcome, output = p_output, worker = null, due_at = null, attempts = 0,
        completed_at = clock_timestamp(), updated_at = clock_timestamp()
    where i.id = p_instance
      and i.worker = p_worker
      and (i.submitted_by = quote_ident(session_user)::regrole or df._called_by_worker())
      and p_outcome in ('completed', 'failed');
  end if;

  if not found
     or not df._record(p_instance, p_nodes, p_generations, p_statuses, p_results, p_details) then
    perform df._refuse_checkpoint(p_instance, p_nodes[1]);
  end if;
end $$;

-- The same where up to four nodes have completed with the same result, without details, and perhaps
-- the instance with them (p_ends). Most steps are so, and are spared calls and statements.
create or replace function df._checkpoint_alike(
  p_instance text, p_worker bigint, p_nodes text[], p_generation int, p_result text,
  p_ends boolean
) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_claimed boolean := true;
  v_recorded int;
begin
  if p_ends then
    update df.instances i
    set status = 'completed', output = null, worker = null, due_at = null, attempts = 0,
        completed_at = clock_timestamp(), updated_at = clock_timestamp()
    where i.id = p_instance
      and i.worker = p_worker
      and (i.submitted_by = quote_ident(session_user)::regrole or df._called_by_worker());
    v_claimed := found;
  end if;

  update df.nodes n
  set status = 'completed',
      result = p_result::json,
      error = null,
      status_details = null,
      generation = p_generation,
      due_at = null,
      updated_at = clock_timestamp()
  where v_claimed
    and n.instance_id = p_instance
    -- As many as are said here: of an unknown number the planner would take ten, and then plan
    -- anew for each call.
    and n.id = any (array[p_nodes[1], p_nodes[2], p_nodes[3], p_nodes[4]])
    and n.stopped_through < p_generation
    and (n.generation < p_generation
         or n.generation = p_generation and n.status in ('pending', 'running'))
    and exists (
      select from df.instances i
      where i.id = p_instance
        and (p_ends or i.worker = p_worker)
        and (i.submitted_by = quote_ident(session_user)::regrole or df._called_by_worker()));
  get diagnostics v_recorded = row_count;
  if v_recorded = 0 or v_recorded is distinct from cardinality(p_nodes) then
    perform df._refuse_checkpoint(p_instance, p_nodes[1]);
  end if;
end $$;

-- A checkpoint is not recorded as it should be: raise, unless the step has cancelled its own instance.
-- Then the cancellation commits with what else it did.
create or replace function df._refuse_checkpoint(p_instance text, p_node text) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  perform from df.instances i
  where i.id = p_instance
    and i.status = 'cancelled'
    and df._is_of_this_transaction(i.xmin);
  if not found then
    raise exception using
      errcode = 'WF002',
      message = 'the claim on this instance is gone',
      detail = format('Instance %s, node %s.', p_instance, p_node),
      hint = 'Another worker took it over, or it was cancelled; nothing was committed.';
  end if;
end $$;

-- Whether the transaction that wrote a visible row is this one, or a subtransaction of it: nobody
-- else's is still in progress.
create or replace function df._is_of_this_transaction(p_xmin xid) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_top bigint := pg_current_xact_id_if_assigned()::text::bigint;
  -- Subtransactions begin after it, so their 32 bits count on from its own.
  v_ahead bigint := (p_xmin::text::bigint - v_top) & 4294967295;
begin
  return v_ahead < 2147483648
    and coalesce(pg_xact_status((v_top + v_ahead)::text::xid8) = 'in progress', false);
exception when invalid_parameter_value then      -- a number not used yet
  return false;
end $$;

-- Record progress that needs no statement of the user: waits that began or ended, parking,
-- giving back, finishing. Many instances in one commit. Each item:
--   instance, nodes, generations, statuses, results, details    as in df._checkpoint
--   running, running_generations   nodes to show as running, deeper ones first
--   waits     [{node, generation, until}]   waits that begin now, unless they began before;
--             until: seconds since 1970, or null for ever
--   resumed   [node, …]   LOOPs whose pause between two iterations is over
--   then      'park' | 'release' | 'completed' | 'failed' | null
--   delay     seconds until a released instance is due again
--   attempts  how many times in a row it was given back
--   output    text for a failed instance
-- The instance shows as running from then on, unless it has ended or is released.
-- Returns what could not be recorded: instances whose claim p_worker has not any more ('lost'), or
-- whose row somebody holds in a transaction that is still open ('busy'). A node's row that somebody
-- holds (whoever calls df._checkpoint can) makes it fail after the lock_timeout, to be tried again.
create or replace function df._save(p_worker bigint, p_items json)
returns table (instance text, reason text)
language plpgsql
set search_path = pg_catalog, pg_temp
set lock_timeout = '250ms'
as $$
declare
  v json;
  v_id text;
begin
  for v in
    select value from json_array_elements(p_items) order by value ->> 'instance'
  loop
    v_id := v ->> 'instance';
    if v ->> 'then' = 'park' then    -- waits for the senders of signals: they look for parked waits
      perform from df.instances i where i.id = v_id and i.worker = p_worker
      for update skip locked;
    else
      perform from df.instances i where i.id = v_id and i.worker = p_worker
      for no key update skip locked;
    end if;
    if not found then
      return query
      select v_id, case
        when exists (select from df.instances i where i.id = v_id and i.worker = p_worker)
          then 'busy' else 'lost' end;
      continue;
    end if;

    -- With the claim held, a row is refused only where a checkpoint of the same worker has gone
    -- further already: it began the next iteration, or stopped the loser of a race.
    perform df._record(
      v_id, df._texts(v -> 'nodes'), df._texts(v -> 'generations')::int[],
      df._texts(v -> 'statuses'), df._texts(v -> 'results'), df._texts(v -> 'details'));
    update df.nodes n
    set due_at = null
    where n.instance_id = v_id
      and n.id = any (df._texts(v -> 'resumed'))
      and n.node_type = 'LOOP'
      and n.due_at <= clock_timestamp();
    perform df._begin_waits(v_id, v -> 'waits');
    perform df._show_running(
      v_id, df._texts(v -> 'running'), df._texts(v -> 'running_generations')::int[]);

    case v ->> 'then'
      when 'park' then
        update df.instances
        set status = 'running', worker = null, attempts = 0,
            due_at = coalesce(
              case when not df._signal_arrived(v_id) then df._next_due(v_id) end,
              clock_timestamp())
        where id = v_id;
      when 'release' then
        update df.instances
        set worker = null, attempts = (v ->> 'attempts')::int,
            due_at = clock_timestamp() + make_interval(secs => (v ->> 'delay')::float8)
        where id = v_id;
      when 'completed', 'failed' then
        update df.instances
        set status = v ->> 'then', output = v ->> 'output', worker = null, due_at = null, attempts = 0,
            completed_at = clock_timestamp(), updated_at = clock_timestamp()
        where id = v_id;
      else
        update df.instances
        set status = 'running'
        where id = v_id
          and status = 'pending';
    end case;
  end loop;
end $$;

-- A JSON array of strings (or nothing) as text[], order and nulls kept.
create or replace function df._texts(p_array json) returns text[]
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
  select coalesce(array_agg(t.value order by t.ordinality), '{}')
  from json_array_elements_text(p_array) with ordinality t
$$;

revoke execute on function
  df._refuse_checkpoint(text, text),
  df._record(text, text[], int[], text[], text[], text[]),
  df._record_more(text, text, jsonb),
  df._iterate(text, text, int, json, json),
  df._save(bigint, json)
from public;
