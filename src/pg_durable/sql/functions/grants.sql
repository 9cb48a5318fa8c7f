-- Who may use df. Nobody but its owner until df.grant_usage says so: the schema has no
-- USAGE for PUBLIC. The functions run with the rights of their caller, except those behind
-- df._start, df._start_new, df._cancel, df._signal, df._unset and df._secret, which act for the
-- effective role only; df.version(); and those for workers (workers.sql) and df.metrics(), which
-- only those may call to whom they were granted.

-- A role's name as it goes into a statement.
create or replace function df._role(p_role text)
returns text
immutable
return case when p_role = 'public' then p_role else quote_ident(p_role) end;

-- What a role needs to have workflows of its own: columns to look at, and doors to write through.
create or replace function df._usage_rights()
returns text[]
immutable
return array[
  'select on df.instances, df.nodes, df.vars, df._executions',
  'insert (name, value, owner), update (name, value, owner) on df.vars',
  'insert (name) on df._unset',
  'insert (fut, label, database), select (id) on df._start',
  'insert (fut, label, database), select (id) on df._start_new',
  'insert (instance_id, reason) on df._cancel',
  'insert (instance_id, signal_name, signal_data) on df._signal',
  'select on df._workers, df._buffered_signals',
  'insert (name, value), select (name) on df._secret',
  'select on df._secret_names',
  'usage on schema df'];

-- Let a role build, start, signal, cancel and watch workflows of its own. Only adds. The caller
-- must be able to make each grant; with_grant lets the role pass them on and see df.metrics().
-- include_http gives df.http and df.http_multipart.
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
  v_rights text;
begin
  foreach v_rights in array df._usage_rights() loop
    execute format('grant %s to %s', v_rights, v_to);
  end loop;

  for v_function in
    select p.oid
    from pg_proc p
    where p.pronamespace = 'df'::regnamespace
      and (include_http and p.proname in ('http', 'http_multipart')
           or with_grant and p.proname in ('grant_usage', 'revoke_usage', 'metrics'))
  loop
    execute format('grant execute on function %s to %s', v_function, v_to);
  end loop;

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
  v_rights text;
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

  foreach v_rights in array df._usage_rights() loop
    continue when v_rights = 'usage on schema df' and df._was_made_worker(to_regrole(df._role(p_role))::oid);
    execute format('revoke %s from %s', v_rights, v_from);
  end loop;

  raise notice 'pg_durable: revoked df usage privileges granted by "%" from "%"',
    current_user, p_role;
end
$$;

revoke execute on function
  df.grant_usage(text, boolean, boolean),
  df.revoke_usage(text)
from public;

-- Roles to whom an older version has granted usage get what this one has besides: each newer
-- object goes to those who have the like of it already, with the right to pass it on if they had.
-- At the end of the transaction that upgrades, because what is granted in an extension's script
-- is the extension's own to PostgreSQL, and left out by pg_dump.
create or replace function df._grant_newer()
returns trigger
language plpgsql
as $$
declare
  v record;
begin
  for v in
    select p.rights,
           case when a.grantee = 0 then 'public' else a.grantee::regrole::text end as member,
           bool_or(a.is_grantable) as passing_on
    from (values
      ('instances', 'select on df._executions'),
      ('_workers', 'select on df._buffered_signals'),
      ('_start', 'insert (name, value, owner), update (name, value, owner) on df.vars'),
      ('_start', 'insert (name) on df._unset'),
      ('_start', 'insert (fut, label, database), select (id) on df._start_new'),
      ('_cancel', 'insert (instance_id, signal_name, signal_data) on df._signal'),
      ('_cancel', 'insert (name, value), select (name) on df._secret'),
      ('_workers', 'select on df._secret_names')
    ) p (older, rights)
    join pg_catalog.pg_class c
      on c.relnamespace = 'df'::pg_catalog.regnamespace and c.relname = p.older
    cross join lateral (
      select c.relacl
      union all
      select t.attacl from pg_catalog.pg_attribute t where t.attrelid = c.oid
    ) o (acl)
    cross join lateral pg_catalog.aclexplode(o.acl) a
    where a.grantee <> c.relowner
      and a.privilege_type in ('SELECT', 'INSERT')
    group by p.rights, a.grantee
  loop
    execute pg_catalog.format('grant %s to %s%s', v.rights, v.member,
                              case when v.passing_on then ' with grant option' else '' end);
  end loop;
  perform df._grant_newer_to_workers();
  return null;
end
$$;

drop trigger if exists grant_newer on df._schema;
create constraint trigger grant_newer
  after update on df._schema
  deferrable initially deferred
  for each row execute function df._grant_newer();

-- The database's default privileges may have given away more: nobody but the owner executes what
-- acts for others by a trigger, or holds a right on a view by which it could be locked.
do $$
declare
  v record;
begin
  for v in
    select 'execute on routine ' || p.oid::regprocedure as rights, a.grantee
    from pg_catalog.pg_proc p
    cross join lateral pg_catalog.aclexplode(p.proacl) a
    where p.pronamespace = 'df'::pg_catalog.regnamespace
      and (p.prosecdef and p.prorettype = 'trigger'::pg_catalog.regtype
           or p.proname = '_start_in_background')
      and a.grantee <> p.proowner
    union
    select pg_catalog.lower(a.privilege_type) || ' on ' || c.oid::regclass, a.grantee
    from pg_catalog.pg_class c
    cross join lateral pg_catalog.aclexplode(c.relacl) a
    where c.relnamespace = 'df'::pg_catalog.regnamespace
      and c.relkind = 'v'
      and a.grantee <> c.relowner
      and a.privilege_type not in ('SELECT', 'INSERT')
  loop
    execute pg_catalog.format('revoke %s from %s cascade', v.rights,
                              case when v.grantee = 0 then 'public' else v.grantee::regrole::text end);
  end loop;
end
$$;
