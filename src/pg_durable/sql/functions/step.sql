-- What a step's session calls besides the user's statement and the checkpoint.
-- These run with the user's own rights.

-- Values of any type as JSON texts, from their text form. Used for the types that only the
-- server can convert: arrays, composites, and types with a cast of their own to json.
create or replace function df._to_json(p_type oid, p_values text[]) returns text[]
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_texts text[];
begin
  execute format(
    'select array_agg(to_json(u.v::%s)::text order by u.n) from unnest($1) with ordinality u (v, n)',
    format_type(p_type, null))
  into v_texts using p_values;
  return v_texts;
exception when others then
  -- A type without a text input (record, say) is shown as its text: a step must not fail
  -- after its statement ran.
  return (select array_agg(to_json(u.v)::text order by u.n)
          from unnest(p_values) with ordinality u (v, n));
end $$;

-- Drop what the user prepared, sparing what the worker did. With the session's other locks
-- and settings this is what DISCARD ALL does, less the plans.
create or replace function df._deallocate() returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_name text;
begin
  for v_name in select s.name from pg_prepared_statements s where s.from_sql loop
    execute format('deallocate %I', v_name);
  end loop;
end $$;
