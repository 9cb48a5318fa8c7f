-- On a server with the module preloaded: does its worker look here, and can it log in?
do $$
declare
  v_database text;
  v_role text;
begin
  -- Only a module's own settings are listed, not what somebody made up under their names.
  select setting into v_database
  from pg_settings
  where name = 'pg_durable.database' and context = 'postmaster';
  -- It may name several, with or without double quotes.
  if current_database() not in (
       select btrim(btrim(named), '"') from regexp_split_to_table(v_database, ',') named)
  then
    raise warning using
      message = format('pg_durable extension must be created in database "%s" '
                       '(currently in "%s"). The background worker only processes functions in '
                       'the database specified by the pg_durable.database GUC '
                       '(defaults to "postgres").', v_database, current_database()),
      hint = 'Connect to the correct database and run: CREATE EXTENSION pg_durable; '
             'or run a worker for this one: pg-durable worker.';
  end if;

  select setting into v_role
  from pg_settings
  where name = 'pg_durable.worker_role' and context = 'postmaster';
  if v_role <> '' and not exists (select from pg_roles r where r.rolname = v_role) then
    raise warning using
      message = format('pg_durable: worker role "%s" does not exist. The background worker '
                       'cannot connect until it does.', v_role),
      hint = format('Create the role: create role %I login; or set pg_durable.worker_role to '
                    'another and restart the server.', v_role);
  end if;
end
$$;
