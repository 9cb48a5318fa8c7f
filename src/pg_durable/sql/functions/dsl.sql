-- The builders: pure functions from texts to an envelope. An operand that is no envelope is
-- one SQL statement. Strict ones make the whole expression null when an operand is.

create or replace function df.sql(query text)
returns text
stable strict parallel safe
return '{"node_type":"SQL","query":' || to_json(query)::text || '}';

-- Both in order; the result is that of the second.
create or replace function df.seq(a text, b text)
returns text
stable strict
return '{"node_type":"THEN","left_node":' || df._envelope(a)
    || ',"right_node":' || df._envelope(b) || '}';

-- Name a result, for $name in later steps. The last name given wins.
create or replace function df.as(fut text, name text)
returns text
language plpgsql stable strict
as $$
begin
  if name = '' then
    raise exception using
      errcode = 'WF001', message = 'df.as: result name cannot be empty';
  elsif name !~ '^[A-Za-z_][A-Za-z0-9_]*$' then
    raise exception using
      errcode = 'WF001',
      message = format('df.as: result name ''%s'' is not a valid identifier — '
                       'must match [a-zA-Z_][a-zA-Z0-9_]*', name);
  end if;
  return df._envelope(fut, name);
end
$$;

create or replace function df.sleep(seconds bigint)
returns text
language plpgsql immutable strict parallel safe
as $$
begin
  if seconds < 0 then
    raise exception using errcode = 'WF001', message = 'Sleep duration must be non-negative';
  end if;
  return format('{"node_type":"SLEEP","query":"%s"}', seconds);
end
$$;

-- To the microsecond. A month has 30 days here, a year 365.25.
create or replace function df.sleep(duration interval)
returns text
language plpgsql immutable strict parallel safe
as $$
declare
  v_seconds numeric;
begin
  if not isfinite(duration) then
    raise exception using errcode = 'WF001', message = 'Sleep duration must be finite';
  end if;
  v_seconds := extract(epoch from duration);
  if v_seconds < 0 then
    raise exception using errcode = 'WF001', message = 'Sleep duration must be non-negative';
  end if;
  return format('{"node_type":"SLEEP","query":"%s"}', trim_scale(v_seconds));
end
$$;

-- What an untyped literal or parameter comes to: seconds if it is an integer, or an interval.
create or replace function df.sleep(duration text)
returns text
language plpgsql stable strict
as $$
begin
  if duration ~ '^\s*[+-]?[0-9]+\s*$' then
    return df.sleep(duration::bigint);
  end if;
  return df.sleep(duration::interval);
exception
  when invalid_datetime_format or datetime_field_overflow or interval_field_overflow
       or numeric_value_out_of_range then
    raise exception using
      errcode = 'WF001',
      message = format('Invalid sleep duration ''%s''', duration),
      hint = 'Give seconds, such as 5, or an interval, such as ''250 ms'' or ''1 day''.';
end
$$;

-- Until an instant; one that is past costs no time.
create or replace function df.sleep_until(until timestamptz)
returns text
language plpgsql stable strict parallel safe
as $$
declare
  v_until text;
begin
  if not (until >= '0001-01-01 00:00:00+00' and until < '10000-01-01 00:00:00+00') then
    raise exception using
      errcode = 'WF001',
      message = format('df.sleep_until: %s is not a time to wait for', until),
      hint = 'Give one of the years 1 to 9999.';
  end if;
  v_until := to_char(until at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US');
  return '{"node_type":"SLEEP","query":'
    || to_json('{"until":"' || rtrim(rtrim(v_until, '0'), '.') || '+00:00"}')::text || '}';
end
$$;

-- Until the next tick of a cron expression, in UTC.
create or replace function df.wait_for_schedule(cron_expr text)
returns text
language plpgsql stable strict
as $$
begin
  perform df._check_cron(cron_expr);
  return '{"node_type":"WAIT_SCHEDULE","query":'
    || to_json('{"cron_expr":' || to_json(cron_expr)::text || '}')::text || '}';
end
$$;

-- … in a time zone: daylight saving counts.
create or replace function df.wait_for_schedule(cron_expr text, time_zone text)
returns text
language plpgsql stable strict
as $$
declare
  v_problem text;
begin
  perform df._check_cron(cron_expr);
  v_problem := df._zone_problem(time_zone);
  if v_problem is not null then
    raise exception using
      errcode = 'WF001',
      message = 'df.wait_for_schedule: ' || v_problem,
      hint = 'Give the name of a zone in the IANA database, such as Europe/Zurich or UTC.';
  end if;
  return '{"node_type":"WAIT_SCHEDULE","query":'
    || to_json('{"cron_expr":' || to_json(cron_expr)::text
               || ',"time_zone":' || to_json(time_zone)::text || '}')::text || '}';
end
$$;

-- Until df.signal sends this name to the instance, or the time is up.
create or replace function df.wait_for_signal(name text, timeout_seconds int default null)
returns text
language plpgsql stable
as $$
begin
  if name is null then
    raise exception using
      errcode = 'WF001', message = 'df.wait_for_signal: name must not be null';
  elsif name = '' then
    raise exception using errcode = 'WF001', message = 'Signal name cannot be empty';
  elsif octet_length(name) > 2000 then
    raise exception using
      errcode = 'WF007',
      message = format('the signal name has %s bytes; the limit is 2000', octet_length(name));
  elsif timeout_seconds <= 0 then
    raise exception using errcode = 'WF001', message = 'Timeout must be positive';
  end if;
  return '{"node_type":"SIGNAL","query":'
    || to_json('{"signal_name":' || to_json(name)::text
               || ',"timeout_seconds":' || coalesce(timeout_seconds::text, 'null') || '}')::text
    || '}';
end
$$;

-- The body again and again: while the condition, looked at after the body, holds, or for ever.
create or replace function df.loop(body text, condition text default null)
returns text
language plpgsql stable
as $$
begin
  if body is null then
    raise exception using errcode = 'WF001', message = 'df.loop: body must not be null';
  end if;
  return '{"node_type":"LOOP","left_node":' || df._envelope(body)
    || coalesce(',"condition_node":' || df._envelope(condition), '') || '}';
end
$$;

-- End the loop around it with a value, which is taken as it is.
create or replace function df.break(value text default null)
returns text
stable
return '{"node_type":"BREAK","query":'
    || to_json('{"break_value":' || coalesce(to_json(value)::text, 'null') || '}')::text || '}';

-- The condition may be any graph; its result decides (truthiness: see the manual).
create or replace function df.if(condition text, then_branch text, else_branch text)
returns text
stable strict
return '{"node_type":"IF","left_node":' || df._envelope(then_branch)
    || ',"right_node":' || df._envelope(else_branch)
    || ',"condition_node":' || df._envelope(condition) || '}';

-- Branch on whether an earlier, named result has rows.
create or replace function df.if_rows(result_name text, then_branch text, else_branch text)
returns text
stable strict
return '{"node_type":"IF","left_node":' || df._envelope(then_branch)
    || ',"right_node":' || df._envelope(else_branch)
    || ',"query":' || to_json('{"condition_type":"result_has_rows","result_name":'
                              || to_json(result_name)::text || '}')::text || '}';

-- All branches at once; the result is the array of theirs.
create or replace function df.join(a text, b text)
returns text
stable strict
return '{"node_type":"JOIN","left_node":' || df._envelope(a)
    || ',"right_node":' || df._envelope(b) || '}';

create or replace function df.join3(a text, b text, c text)
returns text
stable strict
return '{"node_type":"JOIN","left_node":' || df._envelope(a)
    || ',"right_node":' || df._envelope(b)
    || ',"extra_nodes":[' || df._envelope(c) || ']}';

create or replace function df.join(variadic branches text[])
returns text
language plpgsql stable strict
as $$
declare
  v_branches text[] := df._branch_envelopes('df.join', branches);
begin
  return '{"node_type":"JOIN","left_node":' || v_branches[1]
    || ',"right_node":' || v_branches[2]
    || coalesce(',"extra_nodes":[' || nullif(array_to_string(v_branches[3:], ','), '') || ']', '')
    || '}';
end
$$;

-- Both at once; the first to finish decides, and the other is stopped and rolled back.
create or replace function df.race(a text, b text)
returns text
stable strict
return '{"node_type":"RACE","left_node":' || df._envelope(a)
    || ',"right_node":' || df._envelope(b) || '}';

-- Races of two, nested as evenly as can be; who stands further left wins a tie.
create or replace function df.race(variadic branches text[])
returns text
language plpgsql stable strict
as $$
declare
  v_branches text[] := df._branch_envelopes('df.race', branches);
begin
  while cardinality(v_branches) > 1 loop
    v_branches := array(
      select case
        when v_branches[i + 1] is null then v_branches[i]
        else '{"node_type":"RACE","left_node":' || v_branches[i]
             || ',"right_node":' || v_branches[i + 1] || '}'
      end
      from generate_series(1, cardinality(v_branches), 2) i
      order by i);
  end loop;
  return v_branches[1];
end
$$;

-- The branches of a variadic composer as envelopes; null when one of them is null.
create or replace function df._branch_envelopes(p_function text, p_branches text[])
returns text[]
language plpgsql stable strict
as $$
begin
  if cardinality(p_branches) < 2 then
    raise exception using
      errcode = 'WF001',
      message = format('%s needs at least two branches, and got %s',
                       p_function, cardinality(p_branches));
  elsif array_position(p_branches, null) is not null then
    return null;
  end if;
  return array(
    select df._envelope(b)
    from unnest(p_branches) with ordinality x (b, place)
    order by place);
end
$$;
