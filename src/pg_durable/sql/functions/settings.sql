-- Settings that SQL reads: from the server, the database, the role or the session.

-- pg_durable.<p_name>, a whole number within its range; the default where it is not set.
create or replace function df._setting(p_name text, p_default int, p_least int, p_most int)
returns int
language plpgsql stable
as $$
declare
  v_value text := coalesce(
    nullif(btrim(current_setting('pg_durable.' || p_name, true)), ''), p_default::text);
begin
  if v_value ~ '^[+-]?\d{1,9}$' and v_value::int between p_least and p_most then
    return v_value::int;
  end if;
  raise exception using
    errcode = 'WF001',
    message = format('pg_durable.%s is "%s"; it must be a whole number from %s to %s',
                     p_name, v_value, p_least, p_most),
    hint = format('Set it right where it comes from: set, alter role, alter database or the '
                  'server''s configuration; or reset pg_durable.%s.', p_name);
end $$;
