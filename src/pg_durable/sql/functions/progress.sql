-- How far instances have come, and what they wait for. Row security shows each caller its own.

-- One instance as a row; none for an id that is unknown to the caller.
create or replace function df.instance_info(instance_id text)
returns table (
  instance_id text, label text, function_name text, function_version text,
  current_execution_id bigint, status text, output text
)
language sql stable
as $$
  select i.id, i.label, 'pg_durable::orchestration::execute-function-graph', '1.0.0',
         i.executions, i.status, df._output(i)
  from df.instances i
  where i.id = instance_info.instance_id;
$$;

-- The executions of an instance, newest first. There is one, since nothing restarts an
-- instance; its time counts from the start's transaction, so it includes the wait for a worker.
create or replace function df.instance_executions(instance_id text, limit_count int default 5)
returns table (
  execution_id bigint, status text, event_count bigint, duration_ms bigint, output text
)
language plpgsql stable
as $$
begin
  if limit_count < 1 then
    raise exception using errcode = 'WF001', message = 'limit_count must be at least 1';
  end if;
  return query
  select i.executions,
    case i.status
      when 'completed' then 'Completed'
      when 'failed' then 'Failed'
      when 'cancelled' then 'Cancelled'
      else 'Running'
    end,
    (select count(*) from df.nodes n where n.instance_id = i.id and n.status <> 'pending'),
    coalesce((1000 * extract(epoch from i.completed_at - i.created_at))::bigint, 0),
    df._output(i)
  from df.instances i
  where i.id = instance_executions.instance_id;
end
$$;

-- Counts over all roles, hence with the owner's rights; who may call it is up to the grants.
-- Reads both tables whole: some tenths of a second for a million instances.
create or replace function df.metrics()
returns table (
  total_instances bigint, running_instances bigint, completed_instances bigint,
  failed_instances bigint, total_executions bigint, total_events bigint
)
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
  select count(*),
         count(*) filter (where i.status = 'running'),
         count(*) filter (where i.status = 'completed'),
         count(*) filter (where i.status = 'failed'),
         coalesce(sum(i.executions), 0)::bigint,
         (select count(*) from df.nodes n where n.status <> 'pending')
  from df.instances i;
$$;

revoke execute on function df.metrics() from public;

-- The workers that hold an instance the caller may see. A view, because in a view current_user
-- is the caller, SET ROLE included, while its tables are read with the owner's rights.
create or replace view df._workers with (security_barrier) as
select e.worker, e.name
from df._worker_epoch e
where exists (
  select from df.instances i
  where i.worker = e.worker
    and (i.submitted_by = quote_ident(current_user)::regrole
         or (select df._sees_all(current_user))));

-- A timestamp in UTC, whatever the session's time zone and date style.
create or replace function df._utc(p_time timestamptz)
returns text
language sql stable
as $$
  select to_char(p_time at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS"+00"');
$$;

-- What each unfinished instance waits for, or only the given one: whoever or whatever will
-- move it on. 'nothing: stuck' says that nobody will; no instance may ever be so.
-- What a worker that is gone still holds is due to any other.
-- Volatile, as it reads the clock: now() would be behind what this transaction has started.
create or replace function df.waiting_for(instance_id text default null)
returns table (instance_id text, waits_for text)
language sql volatile
as $$
  select i.id,
    case
      when w.worker is not null then concat('worker ', w.worker, ' (' || w.name || ')')
      when i.worker is not null or i.due_at <= clock_timestamp() then 'a worker'
      when i.due_at is null then 'nothing: stuck'
      when i.attempts > 0 then 'retry at ' || df._utc(i.due_at)
      else 'until ' || df._utc(i.due_at)
    end
  from (
    -- Two arms, so that one instance is found by its key; only one of them is run.
    select a.*
    from df.instances a
    where waiting_for.instance_id is null and a.status in ('pending', 'running')
    union all
    select o.*
    from df.instances o
    where o.id = waiting_for.instance_id and o.status in ('pending', 'running')
  ) i
  left join df._workers w on w.worker = i.worker
  order by i.created_at, i.id;
$$;
