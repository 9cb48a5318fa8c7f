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

-- Refuse a database that no step can ever run in.
create or replace function df._refuse_database(p_database text)
returns void
language plpgsql
as $$
declare
  -- datconnlimit is negative where a DROP DATABASE was broken off.
  v_open boolean := (
    select d.datallowconn and d.datconnlimit >= -1
    from pg_database d
    where d.datname = p_database);
begin
  if v_open is null then
    raise exception using
      errcode = 'WF001',
      message = format('database "%s" does not exist', p_database);
  elsif not v_open then
    raise exception using
      errcode = 'WF001',
      message = format('database "%s" does not accept connections', p_database),
      hint = 'The steps run there, in sessions of the role. Name another database, or leave it '
             'out.';
  end if;
end
$$;

-- Workers read a workflow whole, many at a time: one of gigabytes would stop them all.
create or replace function df._refuse_large(p_what text, p_bytes int)
returns void
language plpgsql
as $$
begin
  raise exception using
    errcode = 'WF007',
    message = format('%s %s bytes; the limit is 8388608', p_what, p_bytes),
    hint = 'Put large data into a table, and let a step read it.';
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
  v_root text := to_hex(2147483648 + floor(random() * 2147483648)::bigint);    -- see df._graph
  v_role record;
  v_vars json;
  v_bytes int;
  v_woken boolean;
begin
  if octet_length(new.fut) > 8388608 then
    perform df._refuse_large('the workflow has', octet_length(new.fut));
  end if;
  if df._looks_like_json(new.fut) or current_setting('df.non_future_helper', true) <> '' then
    if (df._read(new.fut, 'Invalid durable function: ')).node_type is not null then
      v_graph := new.fut::json;
    end if;
  end if;

  if new.database is not null then
    perform df._refuse_database(new.database);
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

  if exists (select from df.vars v where v.owner = v_caller) then    -- seldom, and much cheaper
    v_vars := (
      select json_object_agg(v.name, v.value order by v.name)
      from df.vars v
      where v.owner = v_caller
        and v.value is not null);
  end if;
  for attempt in 1 .. 10 loop
    insert into df.instances (id, label, root_node, submitted_by, database, due_at, vars)
    values (df._new_id(), new.label, v_root, v_caller, new.database, clock_timestamp(), v_vars)
    on conflict (id) do nothing
    returning instances.id, octet_length(instances.vars::text) into new.id, v_bytes;
    exit when found;
  end loop;
  if v_bytes > 8388608 then
    perform df._refuse_large('the variables together have', v_bytes);
  end if;
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

  v_woken := df._wake(v_caller);
  return new;
end
$$;
-- Whoever may execute it could hang it on a view of their own, with a caller of their choice.
revoke all on function df._start_instance() from public;

create or replace trigger start_instance
  instead of insert on df._start
  for each row execute function df._start_instance();

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
                       case when fut is null then 'fut' else 'transaction_mode' end),
      hint = case when fut is null then
        'A part of the workflow is NULL: operators and functions of df return NULL then.'
        else 'Leave it out, or give ''caller'' or ''new''.' end;
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
