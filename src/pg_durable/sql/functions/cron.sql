-- Cron expressions and time zones: what is refused when a graph is built or started.
-- Accepts exactly what graph/cron.py accepts, which computes the ticks.

-- The number that is written as one, or as the name of a month (field 4) or a day (field 5).
create or replace function df._cron_value(p_text text, p_field int)
returns int
immutable strict parallel safe
return case
  when p_text ~ '^[0-9]{1,9}$' then p_text::int
  when p_field = 4
       and p_text ~ ('^(jan(uary)?|feb(ruary)?|mar(ch)?|apr(il)?|may|june?|july?|aug(ust)?|'
                     'sep(tember)?|oct(ober)?|nov(ember)?|dec(ember)?)$')
    then array_position(array['jan', 'feb', 'mar', 'apr', 'may', 'jun',
                              'jul', 'aug', 'sep', 'oct', 'nov', 'dec'], left(p_text, 3))
  when p_field = 5
       and p_text ~ ('^(sun(day)?|mon(day)?|tue(s(day)?)?|wed(nesday)?|thu(r(s(day)?)?)?|'
                     'fri(day)?|sat(urday)?)$')
    then array_position(array['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'],
                        left(p_text, 3)) - 1
end;

-- The values that a field allows, or what is wrong with it.
create or replace function df._cron_field(
  p_text text,
  p_field int,
  out allowed int[],
  out problem text
)
language plpgsql immutable strict
as $$
declare
  v_first int := (array[0, 0, 1, 1, 0, 1970])[p_field];
  v_last int := (array[59, 23, 31, 12, 7, 2100])[p_field];
  v_term text;
  v_parts text[];           -- * or ?, from, to, step
  v_from int;
  v_to int;
begin
  allowed := '{}';
  foreach v_term in array string_to_array(p_text, ',') loop
    v_parts := regexp_match(
      v_term, '^(?:([*?])|([a-z]+|[0-9]+)(?:-([a-z]+|[0-9]+))?)(?:/([0-9]{1,9}))?$');
    v_from := coalesce(df._cron_value(v_parts[2], p_field), v_first);
    v_to := case
      when v_parts[3] is not null then df._cron_value(v_parts[3], p_field)
      when v_parts[2] is null or v_parts[4] is not null then v_last
      else v_from
    end;
    if v_to = 0 and v_from > 0 and v_parts[3] ~ '^sun' then   -- fri-sun
      v_to := 7;
    end if;

    problem := case
      when v_parts is null
           or v_parts[2] is not null and df._cron_value(v_parts[2], p_field) is null
           or v_to is null
        then format('''%s'' is no value, range or step', v_term)
      when v_parts[1] = '?' and p_field not in (3, 5) then '? is for days only'
      when v_from < v_first or v_to < v_first or v_from > v_last or v_to > v_last
        then format('''%s'' is not within %s-%s', v_term, v_first, v_last)
      when v_from > v_to then format('''%s'' runs backwards', v_term)
      when v_parts[4]::int = 0 then format('''%s'' has a step of 0', v_term)
      when v_parts[4] is not null and v_parts[3] is null and v_parts[2] ~ '[a-z]'
        then format('''%s'' has a step but no end; write a range', v_term)
    end;
    exit when problem is not null;
    allowed := allowed
      || array(select generate_series(v_from, v_to, coalesce(v_parts[4], '1')::int));
  end loop;
end
$$;

-- What is wrong with a cron expression, or null.
create or replace function df._cron_problem(p_expr text)
returns text
language plpgsql immutable strict
as $$
declare
  v_expr text := lower(btrim(p_expr, E' \t') collate "C");
  v_names text[] := array['minute', 'hour', 'day of month', 'month', 'day of week', 'year'];
  v_fields text[] := regexp_split_to_array(v_expr, '[ \t]+');
  v_field record;
  v_days int[];
  v_months int[];
  v_weekdays int[];
  v_years int[] := array(select generate_series(1970, 2100));
  v_both boolean;           -- whether a date needs both days, rather than one of them
begin
  if v_expr like '@%' then
    return case
      when v_expr <> all (array['@yearly', '@annually', '@monthly', '@weekly', '@daily',
                                '@midnight', '@hourly'])
        then 'the schedules with a name are @yearly, @annually, @monthly, @weekly, @daily, '
             '@midnight and @hourly'
    end;
  elsif cardinality(v_fields) not in (5, 6) then
    return 'it needs five fields (minute, hour, day of month, month, day of week); '
           'a year may follow';
  end if;

  for i in 1 .. cardinality(v_fields) loop
    v_field := df._cron_field(v_fields[i], i);
    if v_field.problem is not null then
      return format('field %s (%s): %s', i, v_names[i], v_field.problem);
    end if;
    case i
      when 3 then v_days := v_field.allowed;
      when 4 then v_months := v_field.allowed;
      when 5 then v_weekdays := v_field.allowed;
      when 6 then v_years := v_field.allowed;
      else null;
    end case;
  end loop;

  -- As in classic cron, a field that begins with * (or ?) does not restrict by itself.
  v_both := v_fields[3] ~ '^[*?]' or v_fields[5] ~ '^[*?]';
  if not exists (
    select
    from unnest(v_years) y
    cross join unnest(v_months) m
    cross join generate_series(0, 30) d
    cross join lateral (select make_date(y, m, 1) + d) x (date)
    where extract(month from x.date) = m
      and case
        when v_both then
          d + 1 = any (v_days)
          and (extract(dow from x.date) = any (v_weekdays)
               or extract(isodow from x.date) = any (v_weekdays))
        else
          d + 1 = any (v_days)
          or extract(dow from x.date) = any (v_weekdays)
          or extract(isodow from x.date) = any (v_weekdays)
      end)
  then
    return 'there is no such date';
  end if;
  return null;
end
$$;

-- Raise for an expression that is no schedule.
create or replace function df._check_cron(p_expr text)
returns void
language plpgsql immutable strict
as $$
declare
  v_problem text := df._cron_problem(p_expr);
begin
  if v_problem is not null then
    raise exception using
      errcode = 'WF001',
      message = format('Invalid cron expression ''%s'': Invalid expression: '
                       'Invalid cron expression.', p_expr),
      hint = upper(left(v_problem, 1)) || substr(v_problem, 2) || '.';
  end if;
end
$$;

-- What is wrong with the name of a time zone, or null. Only names of the IANA database will do,
-- written as there: PostgreSQL's abbreviations and POSIX rules mean nothing to a worker.
-- The server tells how it writes a zone when it is set, a hundred times faster than the view
-- pg_timezone_names does; that is asked only for names with a digit, which may be POSIX rules.
-- When the function ends, timezone is the caller's again.
create or replace function df._zone_problem(p_zone text)
returns text
language plpgsql stable strict
set timezone = 'UTC'
as $$
declare
  v_known text;
begin
  if p_zone !~ '^(posix|right|posixrules|localtime|Factory)(/|$)' then
    perform set_config('timezone', p_zone, true);
    v_known := current_setting('timezone');
  end if;
  if v_known ~ '[0-9]'
     and not exists (select from pg_timezone_names z where z.name = v_known)
  then
    v_known := null;
  end if;
  if v_known = p_zone then
    return null;
  end if;
  return format('time zone ''%s'' is not known', p_zone)
    || coalesce('; it is written ''' || v_known || '''', '');
exception when invalid_parameter_value then
  return format('time zone ''%s'' is not known', p_zone);
end
$$;
