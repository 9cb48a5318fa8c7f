-- Who works on what: workers, claims, take-over and waking. For the worker's role only.

-- The advisory-lock class of this project ('pgdu'). Key 0: shared by idle workers.
-- Key n: held by worker n's control session for as long as that session lives.
create or replace function df._lock_class() returns int
language sql immutable parallel safe
return 1885824117;

-- The workers that live: a worker's lock is there as long as its control session is. Anybody may see
-- who holds which lock, so anybody may ask.
create or replace function df._living_workers() returns setof bigint
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select l.objid::bigint
  from pg_locks l
  join pg_database d on d.oid = l.database
  where d.datname = current_database()
    and l.locktype = 'advisory'
    and l.classid = df._lock_class()::oid
    and l.objid <> 0
    and l.objsubid = 2
    and l.granted
$$;

-- Register a worker and take the lock that proves it alive. Call on its control session.
create or replace function df._register(p_name text) returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_worker bigint;
begin
  -- The lock comes before the row: a row without its lock would look like a dead worker.
  -- Anybody may hold any advisory lock, so a number that is taken is passed over.
  loop
    v_worker := nextval(pg_get_serial_sequence('df._worker_epoch', 'worker'));
    exit when pg_try_advisory_lock(df._lock_class(), v_worker::int);
  end loop;
  insert into df._worker_epoch (worker, name) overriding system value values (v_worker, p_name);
  return v_worker;
end $$;

-- Leave: give back what the worker still holds. Returns how many instances that were.
create or replace function df._unregister(p_worker bigint) returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_freed bigint;
begin
  delete from df._worker_epoch where worker = p_worker;
  -- A row locked by a cancellation that is not committed yet is left to the next take-over.
  update df.instances
  set worker = null, due_at = clock_timestamp()
  where id = any (array(
    select i.id from df.instances i where i.worker = p_worker for no key update skip locked));
  get diagnostics v_freed = row_count;
  if v_freed > 0 then
    perform df._wake();
  end if;
  return v_freed;
end $$;

-- Renew the lease. False: others have declared this worker dead and may hold its instances.
create or replace function df._heartbeat(p_worker bigint) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
set synchronous_commit = off
as $$
begin
  update df._worker_epoch set last_seen_at = clock_timestamp() where worker = p_worker;
  return found;
end $$;

-- Make due what dead workers held: those whose control session is gone, or whose
-- heartbeat is older than the lease (in seconds). Returns how many instances became due.
create or replace function df._take_over(p_worker bigint, p_lease float8) returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_freed bigint;
begin
  delete from df._worker_epoch
  where worker <> p_worker
    and (pg_try_advisory_xact_lock(df._lock_class(), worker::int)
         or last_seen_at < clock_timestamp() - make_interval(secs => p_lease));

  -- Locked rows wait for the next round: a cancellation that stays open must hold up nobody.
  update df.instances
  set worker = null, due_at = clock_timestamp()
  where id = any (array(
    select i.id
    from df.instances i
    where i.worker is not null
      and not exists (select from df._worker_epoch e where e.worker = i.worker)
    for no key update skip locked));
  get diagnostics v_freed = row_count;
  return v_freed;
end $$;

-- Tell an idle worker, if there is one, that something is due. A NOTIFY takes a
-- database-wide lock at commit, so none is sent while every worker is busy anyway.
create or replace function df._wake() returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  if pg_try_advisory_lock(df._lock_class(), 0) then
    perform pg_advisory_unlock(df._lock_class(), 0);
  else
    perform pg_notify('pg_durable', '');
  end if;
end $$;

-- Whether superusers may have instances. Off unless the server, database or role says so.
create or replace function df._superuser_instances() returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select coalesce(nullif(current_setting('pg_durable.enable_superuser_instances', true), ''), 'off')::boolean
$$;

-- Claim up to p_limit due instances for p_worker, oldest first, with their graphs.
-- Skips rows another worker is claiming; an instance is claimed by one worker at a time.
-- `refusal` says why an instance must fail before its first step; `clock` is the server's time, in
-- seconds since 1970, by which the worker counts.
-- The commit need not be awaited: after a crash an unrecorded claim is simply due again.
create or replace function df._claim(p_worker bigint, p_limit int)
returns table (
  id text, label text, database text, role text, root_node text,
  vars json, attempts int, refusal text, clock float8, nodes json
)
language sql
set search_path = pg_catalog, pg_temp
set synchronous_commit = off
as $$
  with claimed as (
    update df.instances i
    set status = 'running', worker = p_worker, due_at = null, updated_at = clock_timestamp()
    where i.id = any (array(
      select d.id
      from df.instances d
      where d.due_at <= statement_timestamp()   -- stable, so the index bounds the scan
      order by d.due_at
      limit p_limit
      for no key update skip locked))         -- not stopped by a sender of a signal
    returning i.id, i.label, i.database, i.submitted_by, i.root_node, i.vars, i.attempts
  )
  select c.id, c.label, c.database, r.rolname, c.root_node, c.vars, c.attempts,
    case
      when r.oid is null then
        format('Instance %s: submitted_by role no longer exists in pg_roles', c.id)
      when r.rolsuper and not df._superuser_instances() then
        format('pg_durable blocked instance %s: submitted_by role "%s" is a superuser, '
               'but pg_durable.enable_superuser_instances is off', c.id, r.rolname)
    end,
    extract(epoch from clock_timestamp())::float8,
    (select json_agg(json_build_array(
        n.id, n.node_type, n.query, n.result_name, n.left_node, n.right_node,
        n.status, n.generation,
        -- A wait without an end is written as one of thirty thousand years.
        case when n.due_at is not null then
          least(extract(epoch from n.due_at), 1e12)::float8 end,
        case when n.entered_in is not null then
          json_build_array(n.entered_in, n.first_iteration, n.iteration) end))
     from df.nodes n
     where n.instance_id = c.id)
  from claimed c
  left join pg_roles r on r.oid = c.submitted_by
$$;

-- Seconds until the next instance is due, leaving out those that are already (whoever holds one in
-- an open transaction would have us ask for ever); null when none ever is by itself.
create or replace function df._until_next_due() returns float8
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select extract(epoch from i.due_at - statement_timestamp())::float8
  from df.instances i
  where i.due_at > statement_timestamp()
    and i.due_at < 'infinity'
  order by i.due_at
  limit 1
$$;

-- What an instance's nodes have left for walking on from them: results with what is recorded
-- beside them, and what loops carry (`names`).
create or replace function df._results(p_instance text)
returns table (node text, result text, details text, names text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select n.id,
         case when n.status in ('completed', 'failed') then n.result end,
         n.status_details, n.names
  from df.nodes n
  where n.instance_id = p_instance
    and (n.status in ('completed', 'failed') or n.names is not null)
$$;

-- Which of the instances p_worker does not hold any more: cancelled, or taken over.
create or replace function df._lost(p_worker bigint, p_instances json) returns setof text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select n.id
  from json_array_elements_text(p_instances) as n (id)
  where not exists (select from df.instances i where i.id = n.id and i.worker = p_worker)
$$;

revoke execute on function
  df._register(text), df._unregister(bigint), df._heartbeat(bigint),
  df._take_over(bigint, float8), df._claim(bigint, int), df._until_next_due(), df._results(text),
  df._lost(bigint, json)
from public;
