-- How far instances have come, and what they wait for. Row security shows each caller its own.

-- One instance as a row; none for an id that is unknown to the caller. `failure` says why it
-- failed: message, sqlstate, detail, hint, position, node and statement, as far as known.
create or replace function df.instance_info(instance_id text)
returns table (
  instance_id text, label text, function_name text, function_version text,
  current_execution_id bigint, status text, output text, failure jsonb
)
language sql stable
as $$
  select i.id, i.label, 'pg_durable::orchestration::execute-function-graph', '1.0.0',
         df._execution(i), i.status, df._output(i), df._failure(i)
  from df.instances i
  where i.id = instance_info.instance_id;
$$;

-- The executions of an instance, newest first: the iterations of a LOOP that is the root, else one.
-- Of finished ones only the last df._executions_kept() are there; the oldest of those has no
-- duration, as the end of the one before it is forgotten. The first begins with the start's
-- transaction, so its time includes the wait for a worker.
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
  with instance as materialized (
    select i, df._execution(i) as execution
    from df.instances i
    where i.id = instance_executions.instance_id
  ),
  ended as materialized (
    select e.execution, e.ended_at, e.events
    from df._executions e
    where e.instance_id = instance_executions.instance_id
  ),
  executions as (
    select e.execution::bigint, 'ContinuedAsNew' as status, e.events, e.ended_at,
           null::text as output
    from ended e
    union all
    select o.execution,
           case when (o.i).status in ('pending', 'running') then 'Running'
                else initcap((o.i).status) end,
           (select count(*)
            from df._seen((o.i).id) s
            join df.nodes n on n.instance_id = (o.i).id and n.id = s.id
            where n.status <> 'pending' and not s.superseded),
           (o.i).completed_at, df._output(o.i)
    from instance o
  )
  select x.execution, x.status, x.events,
    case when x.ended_at is null then 0
         else (1000 * extract(epoch from x.ended_at - case
           when x.execution = 1 then (select (o.i).created_at from instance o)
           else (select e.ended_at from ended e where e.execution = x.execution - 1)
         end))::bigint
    end,
    x.output
  from executions x
  order by x.execution desc
  limit least(limit_count, 10000);
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
         count(*) + (
           select coalesce(sum(n.iteration - 1), 0)
           from df.nodes n
           join df.instances r on r.id = n.instance_id and r.root_node = n.id
           where n.node_type = 'LOOP' and n.iteration > 1)::bigint,
         (select count(*) from df.nodes n where n.status <> 'pending')
  from df.instances i;
$$;

revoke execute on function df.metrics() from public;

-- The living workers that hold an instance the caller may see. A view, because in a view
-- current_user is the caller, SET ROLE included, while its tables are read with the owner's rights.
create or replace view df._workers with (security_barrier) as
select e.worker, e.name
from df._worker_epoch e
join df._living_workers() l (worker) on l.worker = e.worker
where exists (
  select from df.instances i
  where i.due_at <= statement_timestamp()      -- what is claimed keeps its place in the queue
    and i.worker = e.worker
    and (i.submitted_by = quote_ident(current_user)::regrole
         or (select df._sees_all(current_user))));

-- A timestamp in UTC, whatever the session's time zone and date style.
create or replace function df._utc(p_time timestamptz)
returns text
language sql stable
as $$
  select to_char(p_time at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS"+00"');
$$;

-- What a parked instance waits for, soonest first: at most ten things are named. Null when it
-- is not there to wait for anything, though nobody would look at it before its time.
-- A wait without an end is registered until 1e12 seconds since 1970, or infinity.
create or replace function df._waits_for(p_instance df.instances)
returns text
language sql stable
as $$
  with waits as materialized (
    select w.due_at, s.name as signal,
      case
        when w.node_type = 'SIGNAL' and w.due_at >= to_timestamp(1e12) then 'signal ' || s.name
        when w.node_type = 'SIGNAL' then format('signal %s until %s', s.name, df._utc(w.due_at))
        when w.node_type = 'WAIT_SCHEDULE' then 'next tick ' || df._utc(w.due_at)
        when w.node_type = 'LOOP' then 'next iteration ' || df._utc(w.due_at)
        else 'until ' || df._utc(w.due_at)
      end as what
    from df.nodes w
    cross join lateral (
      select case when w.node_type = 'SIGNAL' then w.query::json ->> 'signal_name' end) s (name)
    where w.instance_id = p_instance.id
      and w.status = 'running'
      and w.due_at is not null
      and w.stopped_through < w.generation
  ),
  listed as (
    select w.*, row_number() over (order by w.due_at, w.what) as place from waits w
  )
  select case
    when p_instance.due_at > min(l.due_at)
         or p_instance.due_at >= to_timestamp(1e12) and min(l.due_at) is null
         or exists (select
                    from waits w
                    join df._buffered_signals b
                      on b.instance_id = p_instance.id and b.name = w.signal
                    where b.sent_at < clock_timestamp() - interval '10 s')
      then null
    when min(l.due_at) is null then 'until ' || df._utc(p_instance.due_at)
    else string_agg(l.what, '; ' order by l.place) filter (where l.place <= 10)
         || case when count(*) > 10 then format('; and %s more', count(*) - 10) else '' end
  end
  from listed l;
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
      else coalesce(df._waits_for(i::df.instances), 'nothing: stuck')
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
