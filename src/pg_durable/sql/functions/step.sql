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

-- Run what the step has deferred to its commit, which nothing can defer any more from here on; bring
-- the session back to what a new login finds, as DISCARD ALL would, sparing the plans, since those
-- make the next step fast, and what the worker prepared; then record the step. One call, because a
-- statement of its own costs more than each of these does. Whatever role the step has taken may
-- call this; what is recorded is so by the one that logged in.
--   p_result   not null: p_generation, this and p_outcome for df._checkpoint_alike; else the rest counts
-- A procedure, because the answer to CALL cannot be forged: PREPARE takes none.
create or replace procedure df._end_step(
  p_instance text, p_worker bigint, p_nodes text[], p_generation int, p_result text,
  p_generations int[], p_statuses text[], p_results text[], p_details text[],
  p_outcome text, p_output text
)
language plpgsql
as $$
declare
  v_command text;
begin
  set constraints all immediate;    -- line 5: by that workers know that it was the step that failed
  reset session authorization;
  set role none;            -- which the session authorization may not bring
  reset all;                -- also the search_path, so what follows names its schemas
  unlisten *;
  discard temp;
  discard sequences;
  execute 'close all';      -- PL/pgSQL would look for a cursor of that name
  -- Conditions without a query are what PL/pgSQL evaluates fastest, here and below.
  if pg_catalog.pg_advisory_unlock_all() is null then
    return;
  end if;
  perform
  from pg_catalog.pg_prepared_statement() s
  where s.from_sql;
  if found then
    for v_command in
      select pg_catalog.format('deallocate %I', s.name)
      from pg_catalog.pg_prepared_statement() s
      where s.from_sql
    loop
      execute v_command;
    end loop;
  end if;

  if p_result is not null then
    if df._checkpoint_alike(p_instance, p_worker, p_nodes, p_generation, p_result,
                            p_outcome is not null) is null then
      return;
    end if;
  elsif df._checkpoint(p_instance, p_worker, p_nodes, p_generations, p_statuses, p_results,
                       p_details, p_outcome, p_output) is null then
    return;
  end if;
end $$;
