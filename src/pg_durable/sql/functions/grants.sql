-- Who may use df. Nobody but its owner until df.grant_usage says so: the schema has no
-- USAGE for PUBLIC. The functions run with the rights of their caller, except those behind
-- df._start and df._cancel, which act for the effective role only; df.version(); and
-- df.metrics(), which only those may call to whom it was granted.

-- A role's name as it goes into a statement.
create or replace function df._role(p_role text)
returns text
immutable
return case when p_role = 'public' then p_role else quote_ident(p_role) end;

-- Let a role build, start, cancel and watch workflows of its own. Only adds. The caller must
-- be able to make each grant; with_grant lets the role pass them on and see df.metrics().
-- include_http gives df.http and df.http_multipart where this version has them.
create or replace function df.grant_usage(
  p_role text,
  include_http boolean default false,
  with_grant boolean default false
)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_to text := df._role(p_role) || case when with_grant then ' with grant option' else '' end;
  v_function regprocedure;
begin
  execute 'grant usage on schema df to ' || v_to;
  execute 'grant select on df.instances, df.nodes to ' || v_to;
  execute 'grant select, insert, update, delete on df.vars to ' || v_to;
  execute 'grant insert (fut, label, database), select (id) on df._start to ' || v_to;
  execute 'grant insert (instance_id, reason) on df._cancel to ' || v_to;
  execute 'grant select on df._workers to ' || v_to;

  for v_function in
    select p.oid
    from pg_proc p
    where p.pronamespace = 'df'::regnamespace
      and (include_http and p.proname in ('http', 'http_multipart')
           or with_grant and p.proname in ('grant_usage', 'revoke_usage', 'metrics'))
  loop
    execute format('grant execute on function %s to %s', v_function, v_to);
  end loop;

  if include_http
     and not exists (select from pg_proc p
                     where p.pronamespace = 'df'::regnamespace and p.proname = 'http')
  then
    raise notice using
      message = 'pg_durable: this version has no df.http(); include_http grants nothing',
      hint = 'Repeat the call after an upgrade to a version that has it.';
  end if;
  raise notice 'pg_durable: granted df usage privileges to "%"', p_role;
end
$$;

-- Take back what the caller has granted to a role, and what that role has passed on.
create or replace function df.revoke_usage(p_role text)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_from text := df._role(p_role) || ' cascade';
  v_function regprocedure;
begin
  for v_function in
    select p.oid
    from pg_proc p
    where p.pronamespace = 'df'::regnamespace
      and p.proname in ('http', 'http_multipart', 'grant_usage', 'revoke_usage', 'metrics')
      and has_function_privilege(p.oid, 'execute with grant option')
  loop
    execute format('revoke execute on function %s from %s', v_function, v_from);
  end loop;

  execute 'revoke select on df._workers from ' || v_from;
  execute 'revoke insert (instance_id, reason) on df._cancel from ' || v_from;
  execute 'revoke insert (fut, label, database), select (id) on df._start from ' || v_from;
  execute 'revoke all on df.vars, df.instances, df.nodes from ' || v_from;
  execute 'revoke usage on schema df from ' || v_from;

  raise notice 'pg_durable: revoked df usage privileges granted by "%" from "%"',
    current_user, p_role;
end
$$;

revoke execute on function
  df.grant_usage(text, boolean, boolean),
  df.revoke_usage(text)
from public;
