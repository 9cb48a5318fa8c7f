-- Secrets: values that HTTP steps send, and that nobody gets to see. Workflows hold references.

-- The door for setting and dropping secrets, built like df._start. Without a value: drop it.
create or replace view df._secret as
select
  null::text as name,
  null::text as value,
  null::name as caller
where false;

create or replace trigger _stamp_caller
  instead of insert on df._secret
  for each row execute function df._stamp_caller();

create or replace function df._set_secret()
returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_owner regrole := quote_ident(new.caller)::regrole;
begin
  -- Those of roles that are gone: another may get their number one day.
  delete from df._secrets s
  where not exists (select from pg_roles r where r.oid = s.owner);

  if new.name is null or new.name !~ '^[A-Za-z_][A-Za-z0-9_.-]{0,199}$' then
    raise exception using
      errcode = 'WF001',
      message = format('df.set_secret(): %L is not a name for a secret', left(new.name, 50)),
      hint = 'Give a letter or underscore, then at most 199 letters, digits, underscores, points '
             'and hyphens.';
  elsif octet_length(new.value) > 65536 then
    raise exception using
      errcode = 'WF007',
      message = format('df.set_secret(): the value of ''%s'' has %s bytes; the limit is 65536',
                       new.name, octet_length(new.value));
  elsif new.value is null then
    delete from df._secrets s
    where s.owner = v_owner
      and s.name = new.name;
  else
    insert into df._secrets as s (owner, name, value, reference)
    values (v_owner, new.name, new.value,
            right(replace(gen_random_uuid()::text, '-', ''), 16))
    on conflict (owner, name) do update
    set value = excluded.value, set_at = clock_timestamp();
  end if;
  return new;
end
$$;
-- Whoever may execute it could hang it on a view of their own, with a caller of their choice.
revoke all on function df._set_secret() from public;

create or replace trigger set_secret
  instead of insert on df._secret
  for each row execute function df._set_secret();

-- The caller's secrets, without their values.
create or replace view df._secret_names with (security_barrier) as
select s.name, s.reference, s.set_at
from df._secrets s
where s.owner = quote_ident(current_user)::regrole;

-- Set a secret of the calling role. Workflows that refer to it send the new value from now on.
create or replace function df.set_secret(name text, value text)
returns text
language plpgsql strict
as $$
declare
  v_name text;
begin
  insert into df._secret as s (name, value)
  values (set_secret.name, set_secret.value)
  returning s.name into v_name;
  if v_name is null then
    perform df._refuse_without_triggers('df.set_secret(): nothing was set');
  end if;
  return df._helper_result('df.set_secret', 'OK');
end
$$;

-- Drop a secret; steps that refer to it fail from now on, also if another gets its name.
create or replace function df.drop_secret(name text)
returns text
language plpgsql strict
as $$
declare
  v_name text;
begin
  insert into df._secret as s (name)
  values (drop_secret.name)
  returning s.name into v_name;
  if v_name is null then
    perform df._refuse_without_triggers('df.drop_secret(): nothing was dropped');
  end if;
  return df._helper_result('df.drop_secret', 'OK');
end
$$;

-- The names of the caller's secrets, and when each was set.
create or replace function df.list_secrets()
returns table (name text, set_at timestamptz)
language sql stable
as $$
  select s.name, s.set_at
  from df._secret_names s
  order by s.name
$$;

-- What stands for a secret in the url, headers and body of an HTTP step. The worker puts the value
-- in its place just before sending, and nowhere else.
create or replace function df.secret(name text)
returns text
language plpgsql stable strict
as $$
declare
  v_reference text;
begin
  select s.reference into v_reference
  from df._secret_names s
  where s.name = secret.name;
  if v_reference is null then
    raise exception using
      errcode = 'WF003',
      message = format('df.secret(): role "%s" has no secret ''%s''', current_user, name),
      hint = 'Set it with df.set_secret(name, value), as the role that starts the workflow.';
  end if;
  return format('{{secret:%s:%s}}', name, v_reference);
end
$$;

-- A text with references to secrets as it is shown: without what makes them valid.
create or replace function df._without_references(p_text text)
returns text
immutable parallel safe
return regexp_replace(p_text, '(\{\{secret:[A-Za-z_][A-Za-z0-9_.-]*):[0-9a-f]{16}\}\}', '\1}}', 'g');

-- Whether the role of an instance that p_worker holds may execute p_function now, what the setting
-- http_policy is, and the secrets of that role that are asked for: [[name, reference], …], answered
-- with their values. No row: p_worker does not hold the instance.
create or replace function df._permit(
  p_worker bigint, p_instance text, p_function text, p_secrets json
)
returns table (role text, allowed boolean, policy text, secrets json)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select i.submitted_by::text,
         has_function_privilege(i.submitted_by::oid, p_function, 'execute'),
         current_setting('pg_durable.http_policy', true),
         (select json_agg(json_build_array(s.name, s.reference, s.value))
          from json_array_elements(p_secrets) w (secret)
          join df._secrets s
            on s.owner = i.submitted_by
            and s.name = w.secret ->> 0
            and s.reference = w.secret ->> 1)
  from df.instances i
  where i.id = p_instance
    and i.worker = p_worker
$$;
