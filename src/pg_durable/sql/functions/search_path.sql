-- The last file: every function of df resolves names in pg_catalog alone, whoever calls it.
-- With the caller's search_path, an operator that somebody planted in public for our column
-- types would be preferred to PostgreSQL's own, and run with the caller's rights.
-- Left out: functions with a parsed body, whose names are resolved already; df.explain, which
-- evaluates the caller's expression as the caller would; df._end_step, which resets what is set.
-- Nor does the caller decide what a backslash in a function's text means.
do $$
declare
  v_function regprocedure;
begin
  for v_function in
    select p.oid
    from pg_catalog.pg_proc p
    where p.pronamespace = 'df'::pg_catalog.regnamespace
      and p.prosqlbody is null
      and p.proname not in ('explain', '_end_step')
  loop
    execute pg_catalog.format('alter routine %s set search_path = pg_catalog, pg_temp', v_function);
    if (select pg_catalog.strpos(p.prosrc, E'\\') > 0 from pg_catalog.pg_proc p where p.oid = v_function)
    then
      execute pg_catalog.format('alter routine %s set standard_conforming_strings = on', v_function);
    end if;
  end loop;
end
$$;
