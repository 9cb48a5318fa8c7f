-- df.start: one instance and its nodes, in the caller's transaction.

create or replace function df._new_id()
returns text
volatile parallel safe
return left(gen_random_uuid()::text, 8);

-- The door into the tables. Users may insert fut, label and database here and read the id.
create or replace view df._start as
select
  null::text as fut,
  null::text as label,
  null::text as database,
  null::text as id,
  null::name as caller
where false;

-- Note the effective role of whoever inserts: SET ROLE and SECURITY DEFINER functions count.
-- Runs with that role's rights, before the trigger that acts for it with the owner's (they
-- fire in the order of their names), and overwrites whatever is there: column rights alone
-- do not keep a caller out, for the defaults of a view upon this view are not held to them.
create or replace function df._stamp_caller()
returns trigger
language plpgsql
as $$
begin
  new.caller := current_user;
  return new;
end
$$;

create or replace trigger _stamp_caller
  instead of insert on df._start
  for each row execute function df._stamp_caller();

create or replace function df._refuse_start_without_login(p_role name)
returns void
language plpgsql
as $$
begin
  raise exception using
    errcode = 'WF004',
    message = format('current_user "%s" does not have LOGIN privilege. '
                     'The background worker must connect as this role to execute SQL. '
                     'Grant LOGIN to this role or call df.start() as a role with LOGIN.',
                     p_role);
end
$$;

create or replace function df._start_instance()
returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_caller regrole := quote_ident(new.caller)::regrole;
  v_graph json;
  v_root text := df._new_id();
  v_role record;
begin
  if (df._read(new.fut, 'Invalid durable function: ')).node_type is not null then
    v_graph := new.fut::json;
  end if;

  if new.database is not null
     and not exists (select from pg_database d where d.datname = new.database)
  then
    raise exception using
      errcode = 'WF001',
      message = format('database "%s" does not exist', new.database);
  elsif new.database <> current_database() then
    raise exception using
      errcode = 'WF004',
      message = format('database "%s" is not that of the df schema, "%s"; this version runs '
                       'steps only there', new.database, current_database()),
      hint = 'Leave the database out, or reach the other one from a step (dblink, postgres_fdw).';
  end if;

  if octet_length(new.label) > 2000 then
    raise exception using
      errcode = 'WF007',
      message = format('the label has %s bytes; the limit is 2000', octet_length(new.label));
  end if;

  select r.rolcanlogin, r.rolsuper into v_role
  from pg_roles r
  where r.oid = v_caller;
  if not v_role.rolcanlogin then
    perform df._refuse_start_without_login(new.caller);
  elsif v_role.rolsuper and not df._superuser_instances() then
    raise exception using
      errcode = 'WF004',
      message = format('pg_durable: superuser instances are disabled. '
                       'current_user "%s" is a superuser, but '
                       'pg_durable.enable_superuser_instances is off. '
                       'Set pg_durable.enable_superuser_instances = on to allow this.',
                       new.caller);
  end if;

  for attempt in 1 .. 10 loop
    insert into df.instances (id, label, root_node, submitted_by, database, due_at, vars)
    values (
      df._new_id(), new.label, v_root, v_caller, new.database, clock_timestamp(),
      (select json_object_agg(v.name, v.value order by v.name)
       from df.vars v
       where v.owner = v_caller and v.value is not null))
    on conflict (id) do nothing
    returning instances.id into new.id;
    exit when found;
  end loop;
  if new.id is null then
    raise exception using
      errcode = 'WF007',
      message = 'Failed to create instance: '
                'exhausted 10 attempts to generate a collision-free ID';
  end if;

  if v_graph is null then
    insert into df.nodes (instance_id, id, node_type, query, submitted_by, database)
    values (new.id, v_root, 'SQL', new.fut, v_caller, new.database);
  else
    insert into df.nodes (instance_id, id, node_type, query, result_name,
                          left_node, right_node, submitted_by, database)
    select new.id, g.id, g.node_type, g.query, g.result_name,
           g.left_node, g.right_node, v_caller, new.database
    from df._graph(v_graph, v_root, true) g;
  end if;

  perform df._wake();
  return new;
end
$$;
-- Whoever may execute it could hang it on a view of their own, with a caller of their choice.
revoke all on function df._start_instance() from public;

create or replace trigger start_instance
  instead of insert on df._start
  for each row execute function df._start_instance();

-- The door for transaction_mode => 'new': the start runs in another session of the caller's role.
create or replace view df._start_new as
select
  null::text as fut,
  null::text as label,
  null::text as database,
  null::text as id,
  null::name as caller
where false;

create or replace trigger _stamp_caller
  instead of insert on df._start_new
  for each row execute function df._stamp_caller();

create or replace function df._start_elsewhere()
returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_dblink text := (
    select quote_ident(n.nspname)
    from pg_extension e
    join pg_namespace n on n.oid = e.extnamespace
    where e.extname = 'dblink');
  v_slot int;
begin
  if not (select r.rolcanlogin from pg_roles r where r.rolname = new.caller) then
    perform df._refuse_start_without_login(new.caller);
  elsif v_dblink is null then
    raise exception using
      errcode = 'WF004',
      message = 'df.start(): transaction_mode => ''new'' needs the extension dblink, '
                'which is not in this database',
      hint = 'As a superuser: create extension dblink. '
             'Or call df.start() in a transaction of its own.';
  end if;

  v_slot := df._take_launch_slot();
  begin
    new.id := df._start_over_dblink(
      v_dblink, new.caller,
      format('select df.start(%L::pg_catalog.text, %L::pg_catalog.text, %L::pg_catalog.text)',
             new.fut, new.label, new.database));
  exception when others or query_canceled or assert_failure then
    perform pg_advisory_unlock(1346982470, v_slot);
    raise;
  end;
  perform pg_advisory_unlock(1346982470, v_slot);
  return new;
end
$$;
-- Whoever may execute it could hang it on a view of their own, with a caller of their choice.
revoke all on function df._start_elsewhere() from public;

create or replace trigger start_elsewhere
  instead of insert on df._start_new
  for each row execute function df._start_elsewhere();

-- Each start in mode 'new' takes a second connection; so few at a time, or they use up all.
-- Returns the number of a slot, an advisory lock of this session.
create or replace function df._take_launch_slot()
returns int
language plpgsql
as $$
declare
  v_slots int := greatest(coalesce(
    nullif(current_setting('pg_durable.max_new_transaction_starts', true), '')::int, 2), 1);
  v_patience int := greatest(coalesce(
    nullif(current_setting('pg_durable.new_transaction_start_timeout', true), '')::int, 5), 1);
  v_deadline timestamptz := clock_timestamp() + make_interval(secs => v_patience);
begin
  loop
    for slot in 0 .. v_slots - 1 loop
      if pg_try_advisory_lock(1346982470, slot) then
        return slot;
      end if;
    end loop;
    if clock_timestamp() >= v_deadline then
      raise exception using
        errcode = 'WF007',
        message = format('pg_durable: transaction_mode => ''new'' launch limit reached '
                         '(max_new_transaction_starts=%s). Timed out after %ss waiting for a '
                         'launch slot before opening the loopback session.',
                         v_slots, v_patience);
    end if;
    perform pg_sleep(0.02);
  end loop;
end
$$;

-- Run a statement in a session of its own, logged in as p_role, and return its only value.
-- The functions of dblink are called by their schema and exact types: no other one can be meant.
create or replace function df._start_over_dblink(p_dblink text, p_role name, p_statement text)
returns text
language plpgsql
as $$
declare
  v_session text := 'pg_durable ' || gen_random_uuid();
  v_busy int;
  v_id text;
begin
  perform df._open_loopback(p_dblink, v_session, p_role);
  begin
    execute format('select %s.dblink_send_query($1::text, $2::text)', p_dblink)
    using v_session, p_statement;
    -- Asked again and again rather than waited for, so that it can be cancelled.
    loop
      execute format('select %s.dblink_is_busy($1::text)', p_dblink) into v_busy using v_session;
      exit when v_busy = 0;
      perform pg_sleep(0.002);
    end loop;
    v_id := df._loopback_result(p_dblink, v_session);
  exception when others or query_canceled or assert_failure then
    execute format('select %1$s.dblink_cancel_query($1::text), %1$s.dblink_disconnect($1::text)',
                   p_dblink)
    using v_session;
    raise;
  end;
  execute format('select %s.dblink_disconnect($1::text)', p_dblink) using v_session;
  return v_id;
end
$$;

create or replace function df._open_loopback(p_dblink text, p_session text, p_role name)
returns void
language plpgsql
as $$
declare
  v_reason text;
begin
  execute format('select %s.dblink_connect_u($1::text, $2::text)', p_dblink)
  using p_session, df._loopback(p_role);
exception
  when insufficient_privilege then
    raise exception using
      errcode = 'WF004',
      message = 'df.start(): transaction_mode => ''new'' needs rights that the owner of the '
                'schema df does not have',
      detail = sqlerrm,
      hint = 'As a superuser, grant that owner pg_read_all_settings, and execute on both '
             'functions dblink_connect_u.';
  when others then
    get stacked diagnostics v_reason = pg_exception_detail;
    raise exception using
      errcode = 'WF010',
      message = format('Failed to connect to database ''%s'' as ''%s''. Error: %s',
                       current_database(), p_role,
                       btrim(coalesce(nullif(v_reason, ''), sqlerrm)));
end
$$;

-- The connection string from this server to itself: through the first socket directory, or the
-- first address it listens on.
create or replace function df._loopback(p_role name)
returns text
language sql stable
as $$
  select string_agg(
    format('%s=''%s''', p.name,
           replace(replace(p.value, '\', '\\'), '''', '\''')),
    ' ')
  from (select btrim(split_part(current_setting('listen_addresses'), ',', 1))) a (address)
  cross join lateral (values
    ('host', coalesce(
      replace((regexp_match(current_setting('unix_socket_directories'),
                            '^\s*"((?:[^"]|"")*)"'))[1], '""', '"'),
      nullif(btrim(split_part(current_setting('unix_socket_directories'), ',', 1)), ''),
      case a.address when '*' then 'localhost' when '0.0.0.0' then '127.0.0.1'
        when '::' then '::1' else a.address end)),
    ('port', current_setting('port')),
    ('dbname', current_database()),
    ('user', p_role),
    ('application_name', 'pg_durable:backend:new-transaction'),
    ('connect_timeout', '30'),
    ('options', '-c lock_timeout=30000 -c statement_timeout=30000')) p (name, value);
$$;

-- The id that df.start has returned in the other session, or its error.
create or replace function df._loopback_result(p_dblink text, p_session text)
returns text
language plpgsql
as $$
declare
  v_id text;
  v_state text;
  v_message text;
  v_detail text;
  v_hint text;
begin
  execute format('select r.id from %s.dblink_get_result($1::text) r (id text)', p_dblink)
  into strict v_id using p_session;
  return v_id;
exception when others or query_canceled then
  get stacked diagnostics
    v_state = returned_sqlstate, v_message = message_text,
    v_detail = pg_exception_detail, v_hint = pg_exception_hint;
  raise exception using
    errcode = case when v_state in ('55P03', '57014') then 'WF005' else v_state end,
    message = case v_state
      when '55P03' then
        'pg_durable: transaction_mode => ''new'' launch hit lock_timeout after 30000ms '
        'while waiting on a lock in the loopback session: '
      when '57014' then
        'pg_durable: transaction_mode => ''new'' launch hit statement_timeout after 30000ms '
        'while running df.start() in the loopback session: '
      else 'df.start() on new transaction failed: error returned from database: '
    end || v_message,
    detail = concat_ws(' ', 'Nothing was started.', nullif(v_detail, ''), nullif(v_hint, ''));
end
$$;

-- They act for whoever they are told to.
revoke execute on function
  df._start_over_dblink(text, name, text),
  df._open_loopback(text, text, name),
  df._loopback(name),
  df._loopback_result(text, text),
  df._take_launch_slot()
from public;

-- Start a graph, or one SQL statement; returns the id of the new instance.
-- The start belongs to the caller's transaction: no commit, no instance. In mode 'new' it is
-- committed when the function returns, whatever becomes of the caller's transaction.
create or replace function df.start(
  fut text,
  label text default null,
  database text default null,
  transaction_mode text default 'caller'
)
returns text
language plpgsql
as $$
declare
  v_id text;
begin
  if transaction_mode is null or fut is null then
    raise exception using
      errcode = 'WF001',
      message = format('df.start(): %s must not be NULL',
                       case when fut is null then 'fut' else 'transaction_mode' end);
  elsif lower(transaction_mode) not in ('caller', 'new') then
    raise exception using
      errcode = 'WF001',
      message = format('invalid transaction_mode "%s" for df.start(): '
                       'expected ''caller'' or ''new''', transaction_mode);
  end if;

  if lower(transaction_mode) = 'new' then
    perform df._not_in_workflow(
      'df.start() with transaction_mode => ''new'' cannot be called inside a workflow - '
      'a df.sql() node already runs as a single autocommitted statement, so a plain df.start() '
      'there is already independent of any caller transaction');
    insert into df._start_new as s (fut, label, database)
    values (start.fut, start.label, start.database)
    returning s.id into v_id;
  else
    insert into df._start as s (fut, label, database)
    values (start.fut, start.label, start.database)
    returning s.id into v_id;
  end if;
  if v_id is null then
    perform df._refuse_without_triggers('df.start(): nothing was started');
  end if;
  return v_id;
end
$$;
