-- Who may be a worker. Its role needs none of the tables: it calls the functions below, which run
-- with the rights of the owner of df, and are for workers alone.

-- The functions that workers call. An entry here makes them so (see the end of this file).
create or replace function df._worker_functions()
returns name[]
immutable
return array[
  '_worker_badge', '_register', '_unregister', '_heartbeat', '_take_over', '_claim',
  '_results', '_lost', '_pending_signals', '_save', '_sweep', '_remove_ended', '_submitter',
  '_permit'];

-- Whether df.grant_worker was called for a role, and nobody has revoked that since.
create or replace function df._was_made_worker(p_role oid)
returns boolean
language sql stable
as $$
  select exists (
    select from pg_proc p
    cross join lateral aclexplode(p.proacl) a
    where p.oid = 'df._worker_badge()'::regprocedure
      and a.grantee = p_role)
$$;

-- Whether the session logged in as a worker, and nobody has taken another role in it since.
-- This is true of the sessions of `identity = set_role` when they record a step.
create or replace function df._called_by_worker()
returns boolean
language sql stable
as $$
  select current_setting('role') = 'none'
    and has_function_privilege(session_user, 'df._worker_badge()', 'execute')
$$;

-- The role that submitted an instance, by the name it has now; null when it is gone.
create or replace function df._submitter(p_instance text)
returns name
language sql stable
as $$
  select r.rolname
  from df.instances i
  join pg_roles r on r.oid = i.submitted_by
  where i.id = p_instance
$$;

-- What a worker needs besides logging in.
create or replace function df._worker_rights()
returns setof text
language sql stable
as $$
  values ('usage on schema df'), ('select on df._schema')
  union all
  select format('execute on function %s', p.oid::regprocedure)
  from pg_proc p
  where p.pronamespace = 'df'::regnamespace
    and p.proname = any (df._worker_functions())
$$;

-- Let a role run workers. For the owner of df and superusers: a worker decides what becomes of
-- everybody's workflows.
create or replace function df.grant_worker(role text)
returns void
language plpgsql
as $$
declare
  v_rights text;
begin
  if role = 'public' then
    raise exception using
      errcode = 'WF004',
      message = 'df.grant_worker(): "public" is everybody, and a worker must be one role',
      hint = 'Create a role for the workers: create role df_worker login';
  end if;
  for v_rights in select * from df._worker_rights() loop
    execute format('grant %s to %I', v_rights, grant_worker.role);
  end loop;
end
$$;

-- Take back what df.grant_worker gave; a role that may start workflows besides still may.
create or replace function df.revoke_worker(role text)
returns void
language plpgsql
as $$
declare
  v_rights text;
begin
  for v_rights in select * from df._worker_rights() loop
    continue when v_rights = 'usage on schema df'
      and has_any_column_privilege(revoke_worker.role, 'df._start', 'insert');
    execute format('revoke %s from %I', v_rights, revoke_worker.role);
  end loop;
end
$$;

revoke execute on function df.grant_worker(text), df.revoke_worker(text) from public;

-- The functions for workers run as the owner, and nobody else may execute them, whatever the
-- database's default privileges give away.
do $$
declare
  v record;
begin
  for v in
    select p.oid::regprocedure as function, a.grantee
    from pg_catalog.pg_proc p
    cross join lateral pg_catalog.aclexplode(
      coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner))) a
    where p.pronamespace = 'df'::pg_catalog.regnamespace
      and p.proname = any (df._worker_functions())
      and a.grantee <> p.proowner
      and not df._was_made_worker(a.grantee)
  loop
    execute pg_catalog.format('revoke execute on function %s from %s cascade', v.function,
                              case when v.grantee = 0 then 'public' else v.grantee::regrole::text end);
  end loop;

  for v in
    select p.oid::regprocedure as function
    from pg_catalog.pg_proc p
    where p.pronamespace = 'df'::pg_catalog.regnamespace
      and p.proname = any (df._worker_functions())
      and not p.prosecdef
  loop
    execute pg_catalog.format('alter function %s security definer', v.function);
  end loop;
end
$$;

-- Whoever is a worker already may execute the newer ones, too. At the end of an upgrade: see
-- df._grant_newer.
create or replace function df._grant_newer_to_workers()
returns void
language plpgsql
as $$
declare
  v_rights text;
  v_worker regrole;
begin
  for v_worker in
    select a.grantee
    from pg_proc p
    cross join lateral aclexplode(p.proacl) a
    where p.oid = 'df._worker_badge()'::regprocedure
      and a.grantee not in (0, p.proowner)
  loop
    for v_rights in select * from df._worker_rights() loop
      execute format('grant %s to %s', v_rights, v_worker);
    end loop;
  end loop;
end
$$;
