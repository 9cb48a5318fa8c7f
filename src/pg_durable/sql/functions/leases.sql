-- Who works: registration, proof of life, take-over of what the dead held, waking.

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
-- What has no place in the queue though it has not ended gets one: rows restored from the dump of
-- an older version, where claims took it away.
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
  update df.instances
  set due_at = clock_timestamp()
  where id = any (array(
    select i.id
    from df.instances i
    where i.status in ('pending', 'running')
      and i.due_at is null
    for no key update skip locked));
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
  v_freed := df._free(array(select c.id from df._claimed() c where c.worker = p_worker));
  if v_freed > 0 then
    perform df._wake();
  end if;
  return v_freed;
end $$;

-- The instances that workers have claimed, role by role. They keep their place in the queue, so
-- the part of it that is not due yet need not be looked at: by a time that is the same for all rows,
-- or the index would be of no use.
create or replace function df._claimed()
returns table (id text, worker bigint)
language sql volatile
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
  with recursive roles (role) as (
    select (select i.submitted_by from df.instances i
            where i.due_at is not null
            order by i.submitted_by limit 1)
    union all
    select (select i.submitted_by from df.instances i
            where i.due_at is not null and i.submitted_by > r.role
            order by i.submitted_by limit 1)
    from roles r
    where r.role is not null
  )
  select i.id, i.worker
  from roles r
  join df.instances i on i.submitted_by = r.role
  where i.due_at <= statement_timestamp()
    and i.worker is not null
$$;

-- Make instances due that are claimed by nobody who lives. Returns how many. Rows that are locked,
-- as by a cancellation that is not committed yet, are left to the next take-over.
create or replace function df._free(p_instances text[]) returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_freed bigint;
begin
  update df.instances
  set worker = null, due_at = clock_timestamp()
  where id = any (array(
    select i.id
    from df.instances i
    where i.id = any (p_instances)
      and i.worker is not null
      and not exists (select from df._worker_epoch e where e.worker = i.worker)
    for no key update skip locked));
  get diagnostics v_freed = row_count;
  return v_freed;
end $$;

-- Renew the lease. False: others have declared this worker dead and may hold its instances.
create or replace function df._heartbeat(p_worker bigint) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  update df._worker_epoch set last_seen_at = clock_timestamp() where worker = p_worker;
  return found;
end $$;

-- Make due what dead workers held: those whose control session is gone, or whose
-- heartbeat is older than the lease (in seconds). Returns how many instances became due.
-- Unless told to look thoroughly, it looks through what is claimed only when a worker has died just
-- now: that takes the longer, the more is due.
create or replace function df._take_over(
  p_worker bigint, p_lease float8, p_thoroughly boolean default true
) returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  delete from df._worker_epoch
  where worker <> p_worker
    and (pg_try_advisory_xact_lock(df._lock_class(), worker::int)
         or last_seen_at < clock_timestamp() - make_interval(secs => p_lease));
  if not (found or p_thoroughly) then
    return 0;
  end if;
  return df._free(array(
    select c.id
    from df._claimed() c
    where not exists (select from df._worker_epoch e where e.worker = c.worker)));
end $$;

-- Tell an idle worker, if there is one, that something is due, and of which role if that is known. A
-- NOTIFY takes a database-wide lock at commit, so none is sent while every worker is busy anyway. What
-- it returns means nothing; an expression, because the functions that every start calls are to be few.
create or replace function df._wake(p_role oid default null) returns boolean
volatile
return case
  when pg_try_advisory_lock(df._lock_class(), 0) then pg_advisory_unlock(df._lock_class(), 0)
  else pg_notify('pg_durable', coalesce('start ' || p_role, '')) is not null
end;

revoke execute on function
  df._register(text), df._unregister(bigint), df._heartbeat(bigint),
  df._take_over(bigint, float8, boolean), df._claimed(), df._free(text[])
from public;
