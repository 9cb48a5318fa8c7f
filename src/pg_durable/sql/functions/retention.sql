-- Removing what is over: ended instances after a time, and signals that nothing can take.
-- Called by workers, batch after batch, each a short transaction of its own.

-- Remove up to p_limit instances that ended with this status p_days ago or earlier, with all that
-- belongs to them, going on after the place that the last call reached: in the order of starting.
-- `reached` is null when there are no more. Rows that others hold are left to the next time, so any
-- number of workers may do this at once, and nobody waits.
create or replace function df._remove_ended(
  p_status text, p_days int, p_after timestamptz, p_after_id text, p_limit int,
  out removed bigint, out reached timestamptz, out reached_id text
)
language plpgsql
set search_path = pg_catalog, pg_temp
set lock_timeout = '250ms'
set enable_seqscan = off        -- the plans are kept, also those made while the table was small
as $$
declare
  v_before timestamptz := clock_timestamp() - make_interval(days => p_days);
  v_ids text[];
  v_id text;
begin
  if p_status not in ('completed', 'failed', 'cancelled') then
    raise exception using
      errcode = 'WF001',
      message = format('instances that are %s have not ended, so they are never removed', p_status);
  end if;

  -- Whoever ended before an instant started before it. The index has each status in this order;
  -- what is left of the instant reached comes first.
  v_ids := array(
    select i.id from df.instances i
    where i.status = p_status
      and i.created_at = p_after
      and i.id < p_after_id
      and coalesce(i.completed_at, i.created_at) < v_before
    order by i.created_at, i.id desc
    limit p_limit);
  v_ids := v_ids || array(
    select i.id from df.instances i
    where i.status = p_status
      and i.created_at > coalesce(p_after, '-infinity')
      and i.created_at < v_before
      and coalesce(i.completed_at, i.created_at) < v_before
    order by i.created_at, i.id desc
    limit p_limit - cardinality(v_ids));
  if cardinality(v_ids) = p_limit then
    select i.created_at, i.id into reached, reached_id
    from df.instances i
    where i.id = v_ids[p_limit];
  end if;

  begin
    removed := df._remove(v_ids);
  exception when lock_not_available then      -- somebody holds a node: the others need not wait
    removed := 0;
    foreach v_id in array v_ids loop
      begin
        removed := removed + df._remove(array[v_id]);
      exception when lock_not_available then
        null;
      end;
    end loop;
  end;
end $$;

-- Remove instances that have ended, with all that belongs to them, but for those that others hold.
-- Returns how many.
create or replace function df._remove(p_ids text[])
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  p_ids := array(
    select i.id
    from df.instances i
    where i.id = any (p_ids)
      and i.status in ('completed', 'failed', 'cancelled')
    for update skip locked);                  -- who sends a signal holds the row, too
  delete from df.nodes where instance_id = any (p_ids);
  delete from df._executions where instance_id = any (p_ids);
  delete from df._signals where instance_id = any (p_ids);
  delete from df.instances where id = any (p_ids);
  return cardinality(p_ids);
end $$;

-- Remove up to p_limit signals that nothing can take: their instance has ended, or is gone.
-- Returns how many these were.
create or replace function df._sweep(p_limit int default 10000)
returns bigint
language plpgsql
as $$
declare
  v_swept bigint;
begin
  delete from df._signals
  where (instance_id, name, id) in (
    select s.instance_id, s.name, s.id
    from df._signals s
    where not exists (
      select from df.instances i
      where i.id = s.instance_id
        and i.status in ('pending', 'running'))
    limit p_limit
    for update skip locked);
  get diagnostics v_swept = row_count;
  return v_swept;
end
$$;

revoke execute on function
  df._remove_ended(text, int, timestamptz, text, int), df._remove(text[]), df._sweep(int)
from public;
