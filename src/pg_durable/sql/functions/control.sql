-- What a caller can do with an instance of its own: look, wait, cancel.

create or replace function df.status(instance_id text)
returns text
language sql stable strict
as $$
  select i.status
  from df.instances i
  where i.id = instance_id;
$$;

-- JSON in the form jsonb prints, or as it is where jsonb cannot hold it
-- (a \u0000 in a string, a number beyond numeric).
create or replace function df._jsonb_text(p_value json)
returns text
language plpgsql immutable strict
as $$
begin
  return p_value::jsonb::text;
exception when data_exception or program_limit_exceeded then
  return p_value::text;
end
$$;

-- Why an instance failed: its output as the message, and what the failed step left: SQLSTATE,
-- detail, hint, position, the node and its statement. What is not known is left out.
-- The root's row names the step; one written by an older version does not, so there it is
-- the last that failed.
create or replace function df._failure(p_instance df.instances)
returns jsonb
language sql stable
as $$
  select jsonb_strip_nulls(jsonb_build_object(
    'message', p_instance.output,
    'sqlstate', d.details ->> 'sqlstate',
    'detail', d.details ->> 'detail',
    'hint', d.details ->> 'hint',
    'position', d.details ->> 'position',
    'node', l.id,
    'statement', l.status_details ->> 'statement'))
  from (select where p_instance.status = 'failed') failed
  left join df.nodes r
    on r.instance_id = p_instance.id and r.id = p_instance.root_node and r.status = 'failed'
  left join lateral (
    select n.id, n.status_details
    from df.nodes n
    where n.instance_id = r.instance_id
      and n.status = 'failed'
      and (n.id = r.status_details ->> 'node'
           or (r.status_details ->> 'node') is null and n.left_node is null)
    order by n.updated_at desc, n.id
    limit 1) l on true
  cross join lateral (select coalesce(r.status_details, l.status_details)) d (details);
$$;

-- The result of a completed instance; of a failed one {"error": …}. Null before the end, and for
-- one that was cancelled.
create or replace function df.result(instance_id text)
returns text
language sql stable strict
as $$
  select case
    when i.status = 'failed' then jsonb_build_object('error', df._failure(i))::text
    when n.status = 'completed' then df._jsonb_text(n.result)
  end
  from df.instances i
  left join df.nodes n on n.instance_id = i.id and n.id = i.root_node
  where i.id = result.instance_id
    and i.status in ('completed', 'failed');
$$;

-- The second door into the tables, built like df._start.
create or replace view df._cancel as
select
  null::text as instance_id,
  null::text as reason,
  null::name as caller
where false;

create or replace trigger _stamp_caller
  instead of insert on df._cancel
  for each row execute function df._stamp_caller();

create or replace function df._cancel_instance()
returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := clock_timestamp();
  v_status text;
begin
  select i.status into v_status
  from df.instances i
  where i.id = new.instance_id
    and (i.submitted_by = quote_ident(new.caller)::regrole or df._sees_all(new.caller))
  for no key update;
  if not found then
    raise exception using
      errcode = 'WF003',
      message = format('Instance not found or access denied: %s', new.instance_id);
  elsif v_status not in ('pending', 'running') then
    return new;
  end if;

  update df.instances i
  set status = 'cancelled', output = 'canceled: ' || new.reason,
      completed_at = v_now, updated_at = v_now, due_at = null, worker = null
  where i.id = new.instance_id;

  -- Children before parents, the order in which checkpoints lock: no deadlock with them.
  -- A step in flight either commits first or finds its node stopped.
  -- Finished nodes count too: a loop around them would run them again.
  perform
  from df.nodes n
  join df._depths(new.instance_id) d on d.id = n.id
  where n.instance_id = new.instance_id
  order by d.depth desc, n.id
  for no key update of n;

  update df.nodes n
  set stopped_through = 2147483647, due_at = null
  where n.instance_id = new.instance_id;

  delete from df._signals s where s.instance_id = new.instance_id;

  perform pg_notify('pg_durable', 'cancel ' || new.instance_id);
  return new;
end
$$;
-- Whoever may execute it could hang it on a view of their own, with a caller of their choice.
revoke all on function df._cancel_instance() from public;

create or replace trigger cancel_instance
  instead of insert on df._cancel
  for each row execute function df._cancel_instance();

-- Whether row security lets a role see every instance. The caller's search_path must not
-- decide: df._workers asks this with the caller's settings.
create or replace function df._sees_all(p_role name)
returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select pg_has_role(p_role, c.relowner, 'usage')
      or exists (select from pg_roles r where r.rolname = p_role and r.rolbypassrls)
  from pg_class c
  where c.oid = 'df.instances'::regclass;
$$;

-- A door without its triggers lets everything in and does nothing.
create or replace function df._refuse_without_triggers(p_message text)
returns void
language plpgsql stable
as $$
begin
  if current_setting('session_replication_role') = 'replica' then
    raise exception using
      errcode = 'WF004',
      message = p_message || ', because this session does not fire triggers',
      hint = 'Reset session_replication_role.';
  end if;
end
$$;

-- Cancel an instance, in the caller's transaction. One that has ended already stays as it is.
create or replace function df.cancel(
  instance_id text,
  reason text default 'Cancelled by user'
)
returns text
language plpgsql strict
as $$
begin
  perform df._refuse_without_triggers('df.cancel(): nothing was cancelled');
  insert into df._cancel (instance_id, reason)
  values (cancel.instance_id, cancel.reason);
  return format('Instance %s cancelled: %s', instance_id, reason);
end
$$;

-- Wait until an instance has ended and return its status.
-- Looks again after a millisecond, then ever more slowly, at last every 100 ms.
create or replace function df.await_instance(instance_id text, timeout_seconds int default 30)
returns text
language plpgsql strict
as $$
declare
  v_deadline timestamptz := clock_timestamp() + make_interval(secs => timeout_seconds);
  v_pause interval := '1 ms';
  v_instance record;
begin
  perform df._not_in_workflow(
    'df.await_instance() cannot be called inside a workflow - it would block a worker thread '
    '(and self-deadlock if waiting on the current instance). '
    'Use df.signal() and df.wait_for_signal() for cross-workflow coordination.');
  if timeout_seconds <= 0 then
    raise exception using errcode = 'WF001', message = 'Timeout must be positive';
  end if;

  loop
    select i.status, i.created_at into v_instance
    from df.instances i
    where i.id = instance_id;
    if not found then
      raise exception using
        errcode = 'WF003', message = format('Instance not found: %s', instance_id);
    elsif v_instance.status in ('completed', 'failed', 'cancelled') then
      return df._helper_result('df.await_instance', v_instance.status);
    end if;
    perform df._refuse_blind_wait(instance_id, v_instance.created_at);
    if clock_timestamp() >= v_deadline then
      raise exception using
        errcode = 'WF005',
        message = format('Timeout after %ss waiting for instance %s (status: %s). '
                         'Check if background worker is running.',
                         timeout_seconds, instance_id, v_instance.status);
    end if;
    perform pg_sleep_for(least(v_pause, v_deadline - clock_timestamp()));
    v_pause := least(v_pause * 1.5, '100 ms');
  end loop;
end
$$;

-- Raise where waiting can never end: the start is not committed, or its end cannot be seen.
create or replace function df._refuse_blind_wait(p_instance text, p_created_at timestamptz)
returns void
language plpgsql stable
as $$
begin
  if p_created_at = now() then        -- the start of this very transaction
    raise exception using
      errcode = 'WF004',
      message = format('df.await_instance(): instance %s was started in this transaction, '
                       'which is not committed yet', p_instance),
      hint = 'Commit first: no worker sees the instance before that.';
  elsif current_setting('transaction_isolation') in ('repeatable read', 'serializable') then
    raise exception using
      errcode = 'WF004',
      message = format('df.await_instance(): a %s transaction cannot see instance %s end',
                       current_setting('transaction_isolation'), p_instance),
      hint = 'Await it in a READ COMMITTED transaction.';
  end if;
end
$$;

create or replace function df.wait_for_completion(
  instance_id text,
  timeout_seconds int default 30
)
returns text
language plpgsql strict
as $$
begin
  raise warning using
    errcode = '01P01',
    message = 'df.wait_for_completion() is deprecated; use df.await_instance() instead';
  return df.await_instance(instance_id, timeout_seconds);
end
$$;

-- Kept for programs that call it. Instances run by themselves: it does nothing.
create or replace function df.run(instance_id text default null)
returns text
language sql
as $$
  select coalesce('Triggered run for instance: ' || instance_id,
                  'Triggered run for all pending instances');
$$;
