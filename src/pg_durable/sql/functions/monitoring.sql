-- Looking at instances and nodes. Row security shows each caller its own.

-- The program's version and when this schema was installed. With the owner's rights, since
-- users may not read the table.
create or replace function df.version()
returns text
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
  select s.version || to_char(s.updated_at at time zone 'UTC',
                              '" (built "YYYY-MM-DD"T"HH24:MI:SS"Z)"')
  from df._schema s;
$$;

-- The database whose instances the workers run: the one with this schema.
create or replace function df.target_database()
returns text
stable parallel safe
return current_database()::text;

-- The schema of the engine's state: df itself.
create or replace function df.duroxide_schema()
returns text
immutable parallel safe
return 'df'::text;

-- A page of instances, newest first. A filter that is not given is not in the statement, so
-- that each case can use its index; a page begins with what is left of the cursor's instant.
create or replace function df._page(
  p_status text,
  p_label text,
  p_after_time timestamptz,
  p_after_id text,
  p_limit int
)
returns setof df.instances
language plpgsql stable
as $$
declare
  v_filter text := 'select i.* from df.instances i where '
    || case when p_status is null then 'true' else 'i.status = $1' end
    || case when p_label is null then '' else ' and i.label = $2' end;
  v_order text := ' order by created_at desc, id limit $5';
begin
  return query execute
    case
      when p_after_id is null then v_filter || ' and i.created_at is not null' || v_order
      else format('(%1$s and i.created_at = $3 and i.id > $4%2$s) union all '
                  '(%1$s and i.created_at < $3%2$s)%2$s', v_filter, v_order)
    end
  using p_status, p_label, p_after_time, p_after_id, p_limit;
end
$$;

create or replace function df._check_limit(p_limit int)
returns void
language plpgsql stable
as $$
declare
  v_most int := df._setting('list_instances_max_limit', 1000, 1, 1000000);
begin
  if p_limit < 1 then
    raise exception using errcode = 'WF001', message = 'limit_count must be at least 1';
  elsif p_limit > v_most then
    raise exception using
      errcode = 'WF007',
      message = format('df.list_instances: limit_count (%s) exceeds '
                       'pg_durable.list_instances_max_limit (%s); request fewer rows, '
                       'or use the paginated df.list_instances overload '
                       '(after_cursor/next_cursor) for large result sets', p_limit, v_most);
  end if;
end
$$;

-- The text that an instance ended with: the result as the engine holds it, an error, a reason.
create or replace function df._output(p_instance df.instances)
returns text
language sql stable
as $$
  select case
    when p_instance.status = 'completed' then
      (select n.result::text
       from df.nodes n
       where n.instance_id = p_instance.id and n.id = p_instance.root_node)
    else p_instance.output
  end;
$$;

-- The number of the execution under way, or of the last: the iteration of a LOOP that is the
-- root. Instances without one have a single execution.
create or replace function df._execution(p_instance df.instances)
returns bigint
language sql stable
as $$
  select coalesce(
    (select n.iteration
     from df.nodes n
     where n.instance_id = p_instance.id and n.id = p_instance.root_node),
    1);
$$;

create or replace function df.list_instances(
  status_filter text default null,
  limit_count int default 100
)
returns table (
  instance_id text, label text, function_name text, status text, execution_count bigint,
  output text
)
language plpgsql stable
as $$
begin
  limit_count := coalesce(limit_count, 100);
  perform df._check_limit(limit_count);
  return query
  select i.id::text, i.label, 'pg_durable::orchestration::execute-function-graph',
         i.status::text, df._execution(i), df._output(i)
  from df._page(status_filter, null, null, null, limit_count) i
  order by i.created_at desc, i.id;
end
$$;

-- The same in pages: hand the next_cursor of one page over as after_cursor for the next.
create or replace function df.list_instances(
  status_filter text,
  limit_count int,
  label_filter text,
  after_cursor text default null
)
returns table (
  instance_id text, label text, function_name text, status text, execution_count bigint,
  output text, created_at timestamptz, completed_at timestamptz, next_cursor text
)
language plpgsql stable
as $$
declare
  v_after text[] := df._read_cursor(after_cursor);
begin
  limit_count := coalesce(limit_count, 100);
  perform df._check_limit(limit_count);
  return query
  with page as materialized (         -- one row more than asked for: is there another page?
    select i as instance, row_number() over (order by i.created_at desc, i.id) as place
    from df._page(status_filter, label_filter, v_after[1]::timestamptz, v_after[2],
                  limit_count + 1) i
  )
  select (p.instance).id::text, (p.instance).label,
         'pg_durable::orchestration::execute-function-graph',
         (p.instance).status::text, df._execution(p.instance), df._output(p.instance),
         (p.instance).created_at, (p.instance).completed_at,
         (select df._write_cursor((l.instance).created_at, (l.instance).id)
          from page l
          where l.place = limit_count and exists (select from page m where m.place > limit_count))
  from page p
  where p.place <= limit_count
  order by p.place;
end
$$;

-- A cursor names the last row of a page: v1|<created_at>|<id>, in hexadecimal.
create or replace function df._write_cursor(p_created_at timestamptz, p_id text)
returns text
language sql stable
as $$
  select encode(
    convert_to(
      format('v1|%s|%s',
             to_char(p_created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00"'), p_id),
      'UTF8'),
    'hex');
$$;

-- The two parts of a cursor, both null for none.
create or replace function df._read_cursor(p_cursor text)
returns text[]
language plpgsql stable
as $$
declare
  v_parts text[];
begin
  if p_cursor is null then
    return null;
  end if;
  if p_cursor ~ '^[0-9a-f]+$' and length(p_cursor) <= 512 then
    begin
      v_parts := regexp_match(
        convert_from(decode(p_cursor, 'hex'), 'UTF8'),
        '^v1\|(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}[+-]\d\d)\|([0-9a-f]{8})$');
      perform v_parts[1]::timestamptz;
    exception when data_exception then
      v_parts := null;
    end;
  end if;
  if v_parts is null then
    raise exception using
      errcode = 'WF001', message = 'df.list_instances: invalid after_cursor';
  end if;
  return v_parts;
end
$$;
