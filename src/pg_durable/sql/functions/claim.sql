-- Which instances a worker gets next, and what it gets of each.

-- Whether superusers may have instances. Off unless the server, database or role says so in words
-- that PostgreSQL takes for true: another word must not stop the claims of everybody.
create or replace function df._superuser_instances() returns boolean
stable
return coalesce(current_setting('pg_durable.enable_superuser_instances', true), '')
  ~* '^\s*(t|tr|tru|true|y|ye|yes|on|1)\s*$';

-- Of each role that has anything in the queue, when its oldest is due. The index has the roles in
-- order, and the oldest of each first: one probe for each role. What is claimed has kept its place
-- there, and is passed.
--
-- While somebody's transaction holds vacuum back, each probe passes all that was claimed since: dead
-- entries, which come first. If that took long, the next looks begin where this one got to, at the
-- roles that it found, and the whole is looked through only so often that it takes a twentieth of the
-- time; or a third, while nothing is found. Hence a start that was committed late, or is of another
-- role, is found a little later. The session remembers in df.claims where it got to:
-- [[since when, for how long], [role, due], …].
create or replace function df._look_for_due(p_now timestamptz)
returns table (role regrole, due_at timestamptz)
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off        -- the plans are kept, also those made while the table was small
as $$
declare
  v_known json := nullif(current_setting('df.claims', true), '')::json;
  v_again json[] := '{}';       -- what the next look is to know
  v_begun float8 := extract(epoch from clock_timestamp());
  v_last float8 := v_known #>> '{0,0}';
  v_took float8 := v_known #>> '{0,1}';
  v_any boolean := false;
begin
  if v_begun < v_last + 20 * v_took then
    v_again := v_again || (v_known -> 0);
    for role, due_at in
      select (k.value ->> 0)::oid::regrole, (k.value ->> 1)::timestamptz
      from json_array_elements(v_known) with ordinality k
      where k.ordinality > 1
    loop
      select i.due_at into due_at
      from df.instances i
      where i.submitted_by = role
        and i.due_at >= _look_for_due.due_at
        and i.worker is null
      order by i.due_at
      limit 1;
      if found then
        v_any := v_any or due_at <= p_now;
        return next;
      end if;
      -- Whoever starts something may commit it a little after it is due.
      v_again := v_again || json_build_array(role::oid, least(due_at, p_now - interval '1 s'));
    end loop;
    if v_any or v_begun < v_last + 2 * v_took then
      perform set_config('df.claims', array_to_json(v_again)::text, false);
      if not v_any then       -- soon there may be more to find
        due_at := to_timestamp(v_last + 2 * v_took);
        return next;
      end if;
      return;
    end if;
    v_again := '{}';
  end if;

  role := 0::oid::regrole;
  loop
    select i.submitted_by, i.due_at into role, due_at
    from df.instances i
    where i.submitted_by > role
      and i.due_at is not null
      and i.worker is null
    order by i.submitted_by, i.due_at
    limit 1;
    exit when not found;
    v_again := v_again || json_build_array(role::oid, due_at);
    return next;
  end loop;
  v_took := extract(epoch from clock_timestamp()) - v_begun;
  if v_took > 0.0005 + 0.0002 * cardinality(v_again) then
    perform set_config(
      'df.claims', array_to_json(array[json_build_array(v_begun, v_took)] || v_again)::text, false);
  elsif v_known is not null then
    perform set_config('df.claims', '', false);
  end if;
end $$;

-- Claim up to p_limit due instances for p_worker, with their graphs: of each role that has any the
-- same share, oldest first; of roles in p_without none. So no role waits for another's queue to end.
-- Where that would be less than eight, some get eight and the others come later: a role's first
-- step costs a login, which takes as long as some ten steps.
-- Or of p_role alone, of which somebody has said that it has just started something: there is no need
-- to look what else is due, nor to leave out any.
-- Skips rows another worker is claiming; an instance is claimed by one worker at a time.
-- No indexed column changes, so a claim costs one version of a row and no entry in any index: that
-- is why `status` says `running` only when something is saved, and `due_at` stays as it is.
-- `refusal` says why an instance must fail before its first step; `clock` is the server's time, in
-- seconds since 1970, by which the worker counts.
-- Where there is nothing to claim, one row without an id says in how many seconds the next instance
-- is due, leaving out those that are already (whoever holds one in an open transaction would have
-- us ask for ever); null when none ever is by itself. With p_role, there is no such row.
-- The worker does not wait for the disk here: after a crash an unrecorded claim is simply due again.
create or replace function df._claim(
  p_worker bigint, p_limit int, p_without json default null, p_role oid default null
)
returns table (
  id text, label text, database text, role text, root_node text,
  vars json, attempts int, refusal text, clock float8, nodes json, next_due float8
)
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off        -- the plans are kept, also those made while the table was small
as $$
declare
  v_now timestamptz := statement_timestamp();
  v_without regrole[] := '{}';
  v_roles regrole[] := '{}';    -- with something due
  v_oldest timestamptz[] := '{}';   -- of each of these
  v_share int;                  -- of each role
  v_next timestamptz;
  v_look record;
begin
  if p_without is not null then
    v_without := array(
      select r.oid::regrole
      from json_array_elements_text(p_without) as w (role)
      join pg_roles r on r.rolname = w.role);
  end if;

  if p_role is not null then
    v_roles := array[p_role::regrole];
    v_oldest := array[v_now - interval '1 s'];    -- if that finds nothing, a look follows
  else
    for v_look in select * from df._look_for_due(v_now) loop
      if v_look.due_at > v_now then
        v_next := least(v_next, v_look.due_at);
      elsif v_look.role <> all (v_without) then
        v_roles := v_roles || v_look.role;
        v_oldest := v_oldest || v_look.due_at;
      end if;
    end loop;
  end if;

  if cardinality(v_roles) > 0 then
    v_share := (p_limit - 1) / cardinality(v_roles) + 1;
    if p_without is null then
      v_share := greatest(v_share, 8);
    end if;
    return query
    with claimed as (
      update df.instances i
      set worker = p_worker, updated_at = clock_timestamp()
      where i.id = any (array(
        select d.id
        from (
          select r.role, r.oldest
          from unnest(v_roles, v_oldest) r (role, oldest)
          order by random()           -- when there are more of them than there is room for
        ) r
        cross join lateral (
          select x.id
          from df.instances x
          where x.submitted_by = r.role
            and x.due_at between r.oldest and v_now
            and x.worker is null
          order by x.due_at
          limit v_share
          for no key update skip locked   -- not stopped by a sender of a signal
        ) d
        limit p_limit))
      returning i.id, i.label, i.database, i.submitted_by, i.root_node, i.vars, i.attempts,
        i.due_at
    )
    select c.id::text, c.label, c.database, r.rolname::text, c.root_node::text, c.vars, c.attempts,
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
       where n.instance_id = c.id),
      null::float8
    from claimed c
    left join pg_roles r on r.oid = c.submitted_by
    order by c.due_at;
    if found or p_role is not null then
      return;
    end if;
  end if;

  select least(v_next, min(d.due_at)) into v_next
  from unnest(v_roles) r (role)
  cross join lateral (
    select x.due_at
    from df.instances x
    where x.submitted_by = r.role
      and x.due_at > v_now
    order by x.due_at
    limit 1
  ) d;
  next_due := extract(epoch from nullif(v_next, 'infinity') - v_now)::float8;
  return next;
end $$;

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
  df._look_for_due(timestamptz), df._claim(bigint, int, json, oid), df._results(text),
  df._lost(bigint, json)
from public;
