-- df.signal: a row in the sender's transaction, kept until a wait takes it.

-- The door for signals, built like df._start.
create or replace view df._signal as
select
  null::text as instance_id,
  null::text as signal_name,
  null::text as signal_data,
  null::name as caller
where false;

create or replace trigger _stamp_caller
  instead of insert on df._signal
  for each row execute function df._stamp_caller();

-- What goes with a signal: JSON as it is, any other text as a JSON string.
create or replace function df._signal_json(p_data text)
returns json
language plpgsql immutable strict
as $$
begin
  return p_data::json;
exception
  when invalid_text_representation or untranslatable_character then
    return to_json(p_data);
  when statement_too_complex then     -- nested so deep that the parser ran out of stack
    raise exception using
      errcode = 'WF007', message = 'df.signal(): the data is nested too deep';
end
$$;

create or replace function df._check_signal(p_instance text, p_name text, p_data text)
returns void
language plpgsql immutable
as $$
begin
  if coalesce(p_instance, '') = '' then
    raise exception using errcode = 'WF001', message = 'Instance ID cannot be empty';
  elsif coalesce(p_name, '') = '' then
    raise exception using errcode = 'WF001', message = 'Signal name cannot be empty';
  elsif octet_length(p_name) > 2000 then
    raise exception using
      errcode = 'WF007',
      message = format('the signal name has %s bytes; the limit is 2000', octet_length(p_name));
  elsif octet_length(p_data) > 1048576 then
    raise exception using
      errcode = 'WF007',
      message = format('the signal data has %s bytes; the limit is 1048576',
                       octet_length(p_data)),
      hint = 'Put it into a table and send its key.';
  end if;
end
$$;

-- A worker parks an instance with a lock that waits for KEY SHARE, and looks for signals then:
-- so it finds either the signal or the instance still in its hands, and none is overlooked.
-- With an old snapshot the row might be an old one, which only the stronger lock refuses.
create or replace function df._send_signal()
returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_status text;
  v_role regrole;
begin
  new.signal_data := coalesce(new.signal_data, '{}');
  perform df._check_signal(new.instance_id, new.signal_name, new.signal_data);

  select i.status into v_status
  from df.instances i
  where i.id = new.instance_id
    and (i.submitted_by = quote_ident(new.caller)::regrole or df._sees_all(new.caller))
  for key share;
  if found and current_setting('transaction_isolation') in ('repeatable read', 'serializable') then
    perform from df.instances i where i.id = new.instance_id for no key update;
  end if;
  if v_status is null then
    raise exception using
      errcode = 'WF003',
      message = format('Instance not found or access denied: %s', new.instance_id);
  elsif v_status not in ('pending', 'running') then
    raise notice 'df.signal(): instance % is %, so nothing will take the signal',
      new.instance_id, v_status;
    return new;
  end if;

  insert into df._signals (instance_id, name, data, bytes)
  values (new.instance_id, new.signal_name, df._signal_json(new.signal_data),
          octet_length(new.signal_data));

  -- Parked, and waiting for it: due now. Otherwise tell whoever holds the instance; one that
  -- claims it before this commits learns of the signal in the same way.
  update df.instances i
  set due_at = clock_timestamp()
  where i.id = new.instance_id
    and i.worker is null
    and i.due_at > clock_timestamp()
    and df._signal_arrived(i.id)
  returning i.submitted_by into v_role;
  if found then
    perform df._wake(v_role);
  else
    perform pg_notify('pg_durable', 'signal ' || new.instance_id);
  end if;
  return new;
end
$$;
-- Whoever may execute it could hang it on a view of their own, with a caller of their choice.
revoke all on function df._send_signal() from public;

create or replace trigger send_signal
  instead of insert on df._signal
  for each row execute function df._send_signal();

-- Send a signal to an instance, in the caller's transaction. All waits for its name that are
-- registered when it arrives take it; when there is none, the next one does.
create or replace function df.signal(
  instance_id text,
  signal_name text,
  signal_data text default '{}'
)
returns text
language plpgsql strict
as $$
begin
  perform df._refuse_without_triggers('df.signal(): nothing was sent');
  insert into df._signal (instance_id, signal_name, signal_data)
  values (signal.instance_id, signal.signal_name, signal.signal_data);
  return 'OK';
end
$$;

-- The signals that wait to be taken, without their data; of the caller's instances, like
-- df._workers.
create or replace view df._buffered_signals with (security_barrier) as
select s.instance_id, s.name, s.sent_at
from df._signals s
where exists (
  select from df.instances i
  where i.id = s.instance_id
    and (i.submitted_by = quote_ident(current_user)::regrole
         or (select df._sees_all(current_user))));
