-- The record of progress that no step carries.

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

revoke execute on function df._save(bigint, json) from public;
