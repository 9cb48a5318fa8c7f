-- Many roles: the queue has a part for each of them, so that none waits for another's to end.

drop function if exists df._claim(bigint, int);
drop function if exists df._until_next_due();

drop index df.instances_due_idx;
create index instances_due_idx on df.instances (submitted_by, due_at) where due_at is not null;

-- It is limited in its work now.
drop function if exists df._sweep();

-- Whoever may execute this one is a worker: so it is made once, and keeps its rights.
create function df._worker_badge()
returns boolean
immutable
return true;
alter function df._worker_badge() set search_path = pg_catalog, pg_temp;

do $$
declare
  v_grantee oid;
begin
  for v_grantee in
    select a.grantee
    from pg_proc p
    cross join aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
    where p.oid = 'df._worker_badge()'::regprocedure
      and a.grantee <> p.proowner
  loop
    execute format('revoke execute on function df._worker_badge() from %s',
                   case when v_grantee = 0 then 'public' else v_grantee::regrole::text end);
  end loop;
end
$$;

-- Whoever may UPDATE or DELETE in a table may also lock it, and every start reads the variables:
-- so users get rights on their columns, and a door for deleting (df._unset). What a database's
-- default privileges gave away on new tables goes, too.
do $$
declare
  v_fresh boolean := not exists (select from df._schema);
  v record;
begin
  for v in
    select distinct c.oid::regclass as relation, a.grantee
    from pg_class c
    cross join aclexplode(c.relacl) a
    where c.relnamespace = 'df'::regnamespace
      and a.grantee <> c.relowner
      and (v_fresh or c.relname = 'vars')
  loop
    execute format(
      'revoke %s on %s from %s cascade',
      case when v_fresh then 'all' else 'insert, update, delete, truncate' end,
      v.relation,
      case when v.grantee = 0 then 'public' else v.grantee::regrole::text end);
  end loop;
end
$$;
