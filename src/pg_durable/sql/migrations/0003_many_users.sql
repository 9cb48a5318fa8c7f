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
