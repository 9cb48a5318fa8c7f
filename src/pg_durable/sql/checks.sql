-- What must be so before the schema is created or upgraded, whichever way that is done.
-- In ASCII, because it is read by databases with any encoding.

-- One installation at a time, whoever runs it: key 'pgdu', 'inst'.
select pg_catalog.pg_advisory_xact_lock(1885824117, 1768846196);

do $$
declare
  v_encoding text := pg_catalog.getdatabaseencoding();
  v_what text;
  v_owner name;
begin
  if v_encoding <> 'UTF8' then
    raise exception using
      errcode = 'WF006',
      message = format('The database''s encoding is %s; pg_durable needs UTF8.', v_encoding),
      hint = 'Create a database with: create database NAME encoding ''UTF8'' template template0';
  end if;

  -- What another role has made under our names would be kept, and run by the worker.
  select o.what, r.rolname into v_what, v_owner
  from (select 'the schema', nspowner from pg_namespace where nspname = 'df'
        union all
        select 'function ' || p.oid::regprocedure, p.proowner from pg_proc p
        where p.pronamespace = to_regnamespace('df')
        union all
        select 'relation ' || c.oid::regclass, c.relowner from pg_class c
        where c.relnamespace = to_regnamespace('df')) o (what, owner)
  join pg_roles r on r.oid = o.owner
  where r.rolname <> current_user and not r.rolsuper
  limit 1;
  if found then
    raise exception using
      errcode = 'WF004',
      message = format('In the schema df, %s belongs to role %s, who could change it.',
                       v_what, v_owner),
      hint = 'Connect as that role to upgrade, or drop the schema df first.';
  end if;
end
$$;
