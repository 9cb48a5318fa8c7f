-- df.start in a transaction of its own (transaction_mode => 'new'): in a background worker where
-- the library pg_durable is preloaded, else over dblink.

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
  v_in_background boolean := df._starts_in_background();
  v_command text := format(
    'select df.start(%L::pg_catalog.text, %L::pg_catalog.text, %L::pg_catalog.text)',
    new.fut, new.label, new.database);
  v_slot int;
begin
  if not (select r.rolcanlogin from pg_roles r where r.rolname = new.caller) then
    perform df._refuse_start_without_login(new.caller);
  elsif v_dblink is null and not v_in_background then
    raise exception using
      errcode = 'WF004',
      message = 'df.start(): transaction_mode => ''new'' needs the extension dblink, '
                'which is not in this database',
      hint = 'As a superuser: create extension dblink. '
             'Or call df.start() in a transaction of its own.';
  end if;

  v_slot := df._take_launch_slot();
  begin
    if v_in_background then
      new.id := df._start_by_background_worker(new.caller, v_command);
    else
      new.id := df._start_over_dblink(v_dblink, new.caller, v_command);
    end if;
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

-- Only superusers may make it, and where the server has not got the library it cannot be made.
do $$
begin
  -- Runs the last statement of a command in a session of a role's, and returns: its value; how far
  -- it got ('', 'connected' or 'committed'); SQLSTATE, message, detail and hint of an error. Null
  -- if there is no background worker to be had.
  create or replace function df._start_in_background(p_role oid, p_command text)
  returns text[]
  language c strict
  as 'pg_durable', 'start_in_background';
  -- It acts for whoever it is told to.
  if has_function_privilege('public', 'df._start_in_background(oid, text)', 'execute') then
    revoke execute on function df._start_in_background(oid, text) from public;
  end if;
exception when undefined_file or undefined_function or insufficient_privilege then
  null;
end
$$;

-- Whether the library is preloaded, and the caller may use it. A setting that a user makes up
-- is not among pg_settings.
create or replace function df._starts_in_background()
returns boolean
language sql stable
as $$
  select exists (
      select from pg_proc p
      where p.pronamespace = 'df'::regnamespace
        and p.proname = '_start_in_background'
        and has_function_privilege(p.oid, 'execute'))
    and exists (select from pg_settings s where s.name = 'pg_durable.worker_command');
$$;

create or replace function df._start_by_background_worker(p_role name, p_command text)
returns text
language plpgsql
as $$
declare
  v text[] := df._start_in_background(
    quote_ident(p_role)::regrole,
    'set application_name = ''pg_durable:backend:new-transaction'';'
    'set search_path = pg_catalog, pg_temp;'
    'set lock_timeout = 30000;' || p_command);
begin
  if v is null then
    raise exception using
      errcode = 'WF007',
      message = format('df.start(): transaction_mode => ''new'' needs a background worker, and all '
                       'max_worker_processes=%s are taken',
                       current_setting('max_worker_processes')),
      hint = 'Try again, or let the server have more (max_worker_processes).';
  elsif v[2] = '' then
    perform df._refuse_loopback(p_role, nullif(v[4], ''));
  elsif v[2] <> 'committed' then
    perform df._refuse_start_elsewhere(v[3], v[4], v[5], v[6]);
  end if;
  return v[1];
end
$$;

-- Each start in mode 'new' takes a second connection; so few at a time, or they use up all.
-- Returns the number of a slot, an advisory lock of this session.
create or replace function df._take_launch_slot()
returns int
language plpgsql
as $$
declare
  v_slots int := df._setting('max_new_transaction_starts', 2, 1, 1000);
  v_patience int := df._setting('new_transaction_start_timeout', 5, 1, 3600);
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
    perform df._refuse_loopback(p_role, coalesce(nullif(v_reason, ''), sqlerrm));
end
$$;

create or replace function df._refuse_loopback(p_role name, p_reason text)
returns void
language plpgsql
as $$
begin
  raise exception using
    errcode = 'WF010',
    message = format('Failed to connect to database ''%s'' as ''%s''. Error: %s',
                     current_database(), p_role,
                     coalesce(btrim(p_reason), 'the background worker ended without a word'));
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
  perform df._refuse_start_elsewhere(v_state, v_message, v_detail, v_hint);
end
$$;

-- Raise in this session what df.start has raised in the other one.
create or replace function df._refuse_start_elsewhere(
  p_state text, p_message text, p_detail text, p_hint text)
returns void
language plpgsql
as $$
begin
  raise exception using
    errcode = case when p_state in ('55P03', '57014') then 'WF005' else p_state end,
    message = case p_state
      when '55P03' then
        'pg_durable: transaction_mode => ''new'' launch hit lock_timeout after 30000ms '
        'while waiting on a lock in the loopback session: '
      when '57014' then
        'pg_durable: transaction_mode => ''new'' launch hit statement_timeout after 30000ms '
        'while running df.start() in the loopback session: '
      else 'df.start() on new transaction failed: error returned from database: '
    end || p_message,
    detail = concat_ws(' ', 'Nothing was started.', nullif(p_detail, ''), nullif(p_hint, ''));
end
$$;

-- They act for whoever they are told to.
revoke execute on function
  df._start_by_background_worker(name, text),
  df._start_over_dblink(text, name, text),
  df._open_loopback(text, text, name),
  df._loopback(name),
  df._loopback_result(text, text),
  df._take_launch_slot()
from public;
