-- The only functions that record progress.

-- Write the outcomes of nodes. The node row decides who may finish a step: it must not
-- be terminal in this generation, and nobody may have stopped it. False: some row was not so.
-- The status 'stopped' is for a node that lost a race: unless it is terminal, it never will be.
-- Nodes come leaf first, so that two writers of one instance lock rows in the same order.
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
    if p_statuses[i] = 'stopped' then
      update df.nodes n
      set stopped = true, due_at = null
      where n.instance_id = p_instance
        and n.id = p_nodes[i]
        and n.status in ('pending', 'running');
      continue;
    end if;
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
      and not n.stopped
      and (n.generation < p_generations[i]
           or n.generation = p_generations[i] and n.status in ('pending', 'running'));
    v_all := v_all and found;
  end loop;
  return v_all;
end $$;

-- Record a step in the transaction of its statement, and finish the instance with it when
-- it was the last (p_outcome). Runs in the submitting role's session: it can only touch
-- what that role submitted, and only while p_worker holds the claim.
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
      and i.submitted_by = quote_ident(session_user)::regrole;
  else
    update df.instances i
    set status = p_outcome, output = p_output, worker = null, attempts = 0,
        completed_at = clock_timestamp(), updated_at = clock_timestamp()
    where i.id = p_instance
      and i.worker = p_worker
      and i.submitted_by = quote_ident(session_user)::regrole
      and p_outcome in ('completed', 'failed');
  end if;

  if not found
     or not df._record(p_instance, p_nodes, p_generations, p_statuses, p_results, p_details) then
    -- A step that cancels its own instance: the cancellation commits with what else it did.
    perform from df.instances i
    where i.id = p_instance
      and i.status = 'cancelled'
      and i.xmin = pg_current_xact_id_if_assigned()::xid;
    if found then
      return;
    end if;
    raise exception using
      errcode = 'WF002',
      message = 'the claim on this instance is gone',
      detail = format('Instance %s, node %s.', p_instance, p_nodes[1]),
      hint = 'Another worker took it over, or it was cancelled; nothing was committed.';
  end if;
end $$;

-- Record progress that needs no statement of the user: waits that began or ended, parking,
-- giving back, finishing. Many instances in one commit. Each item:
--   instance, nodes, generations, statuses, results, details    as in df._checkpoint
--   running   [node, …]                     nodes to show as running, leaf first
--   waits     [{node, generation, seconds}] waits that begin now, unless they began before
--   then      'park' | 'release' | 'completed' | 'failed' | null
--   delay     seconds until a released instance is due again
--   attempts  how many times in a row it was given back
--   output    text for a failed instance
-- Returns what could not be recorded: instances whose claim, or a node of which, was no longer
-- p_worker's to change ('lost'), or whose row a cancellation holds that is still open ('busy').
create or replace function df._save(p_worker bigint, p_items json)
returns table (instance text, reason text)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v json;
  v_id text;
begin
  for v in
    select value from json_array_elements(p_items) order by value ->> 'instance'
  loop
    v_id := v ->> 'instance';
    perform from df.instances i where i.id = v_id and i.worker = p_worker for update skip locked;
    if not found then
      return query
      select v_id, case
        when exists (select from df.instances i where i.id = v_id and i.worker = p_worker)
          then 'busy' else 'lost' end;
      continue;
    end if;

    if not df._record(
      v_id, df._texts(v -> 'nodes'), df._texts(v -> 'generations')::int[],
      df._texts(v -> 'statuses'), df._texts(v -> 'results'), df._texts(v -> 'details'))
    then
      return query select v_id, 'lost';
      continue;
    end if;

    perform df._begin_waits(v_id, v -> 'waits');
    perform df._show_running(v_id, df._texts(v -> 'running'));

    case v ->> 'then'
      when 'park' then
        update df.instances
        set worker = null, attempts = 0, due_at = coalesce(
          (select min(n.due_at) from df.nodes n
           where n.instance_id = v_id and n.status = 'running' and not n.stopped),
          clock_timestamp())
        where id = v_id;
      when 'release' then
        update df.instances
        set worker = null, attempts = (v ->> 'attempts')::int,
            due_at = clock_timestamp() + make_interval(secs => (v ->> 'delay')::float8)
        where id = v_id;
      when 'completed', 'failed' then
        update df.instances
        set status = v ->> 'then', output = v ->> 'output', worker = null, attempts = 0,
            completed_at = clock_timestamp(), updated_at = clock_timestamp()
        where id = v_id;
      else
        null;
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

-- A wait's end is fixed when it is first entered, so a restart waits only for the rest.
create or replace function df._begin_waits(p_instance text, p_waits json) returns void
language sql
set search_path = pg_catalog, pg_temp
as $$
  update df.nodes n
  set status = 'running',
      result = null,
      generation = w.generation,
      -- A thousand milliards of seconds is past any calendar and still a valid timestamp.
      due_at = clock_timestamp() + make_interval(secs => least(w.seconds, 1e12)),
      updated_at = clock_timestamp()
  from json_to_recordset(p_waits) as w (node text, generation int, seconds float8)
  where n.instance_id = p_instance
    and n.id = w.node
    and not n.stopped
    and (n.generation < w.generation or n.generation = w.generation and n.status = 'pending')
$$;

-- Show slow steps and the nodes around them as running. Never touches a terminal row.
create or replace function df._show_running(p_instance text, p_nodes text[]) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  for i in 1 .. cardinality(p_nodes) loop
    update df.nodes n
    set status = 'running', updated_at = clock_timestamp()
    where n.instance_id = p_instance
      and n.id = p_nodes[i]
      and n.status = 'pending'
      and not n.stopped;
  end loop;
end $$;

revoke execute on function
  df._record(text, text[], int[], text[], text[], text[]),
  df._save(bigint, json),
  df._begin_waits(text, json),
  df._show_running(text, text[])
from public;
