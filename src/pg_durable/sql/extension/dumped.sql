-- All rows in df are the users', so pg_dump takes them along; save what is about this installation
-- (_schema) and about processes (_worker_epoch). Of the latter the sequence goes along: a new
-- worker must not get the number of one that holds instances in the dump.
do $$
declare
  v_relation regclass;
begin
  for v_relation in
    select c.oid
    from pg_class c
    where c.relnamespace = 'df'::regnamespace
      and c.relkind in ('r', 'S')
      and c.relname not in ('_schema', '_worker_epoch')
  loop
    perform pg_extension_config_dump(v_relation, '');
  end loop;
end
$$;
