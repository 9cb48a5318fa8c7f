-- create extension pg_durable version 'unpackaged': what pg-durable install made becomes the
-- extension's, workflows and all. `alter extension pg_durable update` then makes it a version.
do $$
declare
  v_missing boolean := to_regclass('df._schema') is null;
  v record;
  v_grants text := '';
begin
  if v_missing then
    raise exception using
      errcode = 'WF006',
      message = format('in database "%s" there is no schema df that pg-durable install made',
                       current_database()),
      hint = 'Create the extension anew: create extension pg_durable';
  end if;

  -- A migration in an extension's script would make roles' rights the extension's own, see below.
  if (select migration from df._schema) <> :newest then
    raise exception using
      errcode = 'WF006',
      message = format('the schema df is of version %s, and the extension''s files are of another',
                       (select version from df._schema)),
      hint = 'Bring it to the version of the files first: pg-durable install';
  end if;

  -- An object's rights at the time it becomes a member are the extension's own to PostgreSQL, and
  -- left out by pg_dump. So what roles were granted is taken away first and given back after.
  for v in
    select format('grant %s on %s to %s%s', rights, what, grantee,
                  case when is_grantable then ' with grant option' end) as given,
           format('revoke all on %s from %s cascade', what, grantee) as taken
    from (
      select string_agg(a.privilege_type || coalesce(' (' || quote_ident(o.part) || ')', ''), ', ') as rights,
             o.what, a.is_grantable,
             case when a.grantee = 0 then 'public' else a.grantee::regrole::text end as grantee
      from (
        select 'schema df', null, n.nspacl, n.nspowner
        from pg_namespace n
        where n.nspname = 'df'
        union all
        select case c.relkind when 'S' then 'sequence ' else 'table ' end || c.oid::regclass,
               null, c.relacl, c.relowner
        from pg_class c
        where c.relnamespace = 'df'::regnamespace
        union all
        select 'table ' || c.oid::regclass, t.attname, t.attacl, c.relowner
        from pg_class c
        join pg_attribute t on t.attrelid = c.oid
        where c.relnamespace = 'df'::regnamespace
        union all
        select 'routine ' || p.oid::regprocedure, null, p.proacl, p.proowner
        from pg_proc p
        where p.pronamespace = 'df'::regnamespace
      ) o (what, part, acl, owner)
      cross join lateral aclexplode(o.acl) a
      where a.grantee <> o.owner
        and (a.grantee <> 0 or o.what not like 'routine %')
      group by o.what, a.grantee, a.is_grantable
    ) g
  loop
    execute v.taken;
    v_grants := v_grants || v.given || E';\n';
  end loop;
  execute format('create function df._give_back() returns trigger language plpgsql as %L',
                 'begin ' || v_grants || ' return null; end');
  create constraint trigger give_back
    after update on df._schema
    deferrable initially deferred
    for each row execute function df._give_back();

  for v in
    select 'schema df' as object
    union all
    select case c.relkind when 'v' then 'view ' when 'S' then 'sequence ' else 'table ' end
           || c.oid::regclass
    from pg_class c
    where c.relnamespace = 'df'::regnamespace and c.relkind in ('r', 'v', 'S')
    union all
    select 'domain ' || t.oid::regtype
    from pg_type t
    where t.typnamespace = 'df'::regnamespace and t.typtype = 'd'
    union all
    select 'routine ' || p.oid::regprocedure
    from pg_proc p
    where p.pronamespace = 'df'::regnamespace and p.proname <> '_give_back'
    union all
    select 'operator ' || o.oid::regoperator
    from pg_operator o
    join pg_proc p on p.oid = o.oprcode and p.proowner = o.oprowner
    where p.pronamespace = 'df'::regnamespace
  loop
    execute 'alter extension pg_durable add ' || v.object;
  end loop;
  update df._schema set updated_at = updated_at;
end
$$;
