-- Waits and what is shown as running: nodes under way, as their rows tell.

-- The nodes of an instance whose waits are registered and still count.
create or replace function df._waits(p_instance text) returns setof df.nodes
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select n.*
  from df.nodes n
  where n.instance_id = p_instance
    and n.status = 'running'
    and n.due_at is not null
    and n.stopped_through < n.generation
$$;

-- When the first of an instance's waits ends: 'infinity' when only a signal can end them.
create or replace function df._next_due(p_instance text) returns timestamptz
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select min(w.due_at) from df._waits(p_instance) w
$$;

-- Whether a signal is there that a registered wait could take.
create or replace function df._signal_arrived(p_instance text) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select exists (
    select from df._signals s
    where s.instance_id = p_instance
      and s.name in (select w.query::json ->> 'signal_name'
                     from df._waits(p_instance) w
                     where w.node_type = 'SIGNAL'))
$$;

-- The oldest signals for the names in p_wanted ([{"name", "count"}]), leaving out those taken
-- already (p_taken: [id]); of a name no more than 32 MiB at a time, but one at least.
create or replace function df._pending_signals(p_instance text, p_wanted json, p_taken json)
returns table (id bigint, name text, data text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select s.id, w.name, s.data::text
  from json_to_recordset(p_wanted) as w (name text, count int)
  cross join lateral (
    select o.id, b.data
    from (
      select f.id, sum(f.bytes) over (order by f.id) - f.bytes as before
      from (
        select a.id, a.bytes
        from df._signals a
        where a.instance_id = p_instance
          and a.name = w.name
          and a.id not in (select t.value::bigint from json_array_elements_text(p_taken) t)
        order by a.id
        limit w.count) f) o
    join df._signals b
      on b.instance_id = p_instance and b.name = w.name and b.id = o.id
    where o.before < 33554432) s
  order by s.id
$$;

-- A wait's end is fixed when it is first entered, so a restart waits only for the rest.
create or replace function df._begin_waits(p_instance text, p_waits json) returns void
language sql
set search_path = pg_catalog, pg_temp
as $$
  update df.nodes n
  set status = 'running',
      result = null,
      status_details = null,
      generation = w.generation,
      -- A thousand milliards of seconds is past any calendar and still a valid timestamp.
      due_at = case when w.until is null then 'infinity'
                    else to_timestamp(least(w.until, 1e12)) end,
      updated_at = clock_timestamp()
  from json_to_recordset(p_waits) as w (node text, generation int, until float8)
  where n.instance_id = p_instance
    and n.id = w.node
    and n.stopped_through < w.generation
    and (n.generation < w.generation or n.generation = w.generation and n.status = 'pending')
$$;

-- Show slow steps and the nodes around them as running. Never touches a row that is terminal in
-- the generation.
create or replace function df._show_running(
  p_instance text, p_nodes text[], p_generations int[]
) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  for i in 1 .. cardinality(p_nodes) loop
    update df.nodes n
    set status = 'running',
        result = null,
        status_details = null,
        generation = p_generations[i],
        updated_at = clock_timestamp()
    where n.instance_id = p_instance
      and n.id = p_nodes[i]
      and n.stopped_through < p_generations[i]
      and (n.generation < p_generations[i]
           or n.generation = p_generations[i] and n.status = 'pending');
  end loop;
end $$;

revoke execute on function
  df._waits(text),
  df._next_due(text),
  df._signal_arrived(text),
  df._pending_signals(text, json, json),
  df._begin_waits(text, json),
  df._show_running(text, text[], int[])
from public;
