-- A schema df that is there already is nothing to write over.
do $$
begin
  if to_regnamespace('df') is not null then
    raise exception using
      errcode = 'WF006',
      message = format('the schema df exists already in database "%s"', current_database()),
      hint = 'If pg-durable install made it, let the extension adopt it, workflows included: '
             'create extension pg_durable version ''unpackaged''; '
             'alter extension pg_durable update;';
  end if;
end
$$;
