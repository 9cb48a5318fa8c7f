-- The operators and the functions behind those that are no builder by themselves.

create or replace function df.as_op(fut text, name text)
returns text
stable
return df.as(fut, name);

-- @> a: for ever. A null operand makes it null, as with the other operators.
create or replace function df.loop_prefix_op(body text)
returns text
stable strict
return df.loop(body);

-- c ?> a: half an if, kept as the two texts it was written with until !> completes it.
create or replace function df.if_then_op(condition text, then_branch text)
returns text
stable parallel safe
return '{"_partial_if":true,"condition":' || coalesce(to_json(condition)::text, 'null')
    || ',"then_branch":' || coalesce(to_json(then_branch)::text, 'null') || '}';

create or replace function df.if_else_op(partial_if text, else_branch text)
returns text
language plpgsql stable
as $$
declare
  v_partial json := df._json(partial_if);
begin
  if (v_partial ->> '_partial_if') is distinct from 'true' then
    raise exception using
      errcode = 'WF001',
      message = 'Invalid if-then-else: left side of !> must be a ?> expression',
      hint = 'Put longer branches in parentheses: a ?> (b ~> c) !> (d ~> e).';
  end if;
  return df.if(v_partial ->> 'condition', v_partial ->> 'then_branch', else_branch);
end
$$;

-- Operators live in pg_catalog, where every search_path finds them; a role that may not
-- create there puts them in public, or else beside the functions.
do $$
declare
  v_operator record;
  v_schema text;
begin
  select s into v_schema
  from unnest(array['pg_catalog', 'public', 'df']) with ordinality as x (s, rank)
  where to_regnamespace(s) is not null and has_schema_privilege(s, 'create')
  order by rank
  limit 1;

  for v_operator in
    select *
    from (values
      ('~>',  'df.seq(text,text)'),
      ('|=>', 'df.as_op(text,text)'),
      ('&',   'df.join(text,text)'),
      ('|',   'df.race(text,text)'),
      ('?>',  'df.if_then_op(text,text)'),
      ('!>',  'df.if_else_op(text,text)'),
      ('@>',  'df.loop_prefix_op(text)')
    ) as x (name, function)
    where not exists (
      select from pg_catalog.pg_operator o
      where o.oprname = x.name and o.oprcode = x.function::regprocedure)
  loop
    execute format('create operator %I.%s (function = %s, %s rightarg = text)',
                   v_schema, v_operator.name,
                   v_operator.function::regprocedure::regproc,
                   case when v_operator.name <> '@>' then 'leftarg = text,' else '' end);
  end loop;
end
$$;
