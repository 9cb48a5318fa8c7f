-- df.http and df.http_multipart: requests as steps. Who may call where is the worker's decision,
-- made anew when the step runs; what is wrong already when the workflow is built is said here.

-- A JSON object in compact form, its keys in order; null when there is none.
create or replace function df._compact(p_object jsonb)
returns text
immutable parallel safe
return case
  when p_object is not null and p_object <> 'null' then
    '{' || coalesce((select string_agg(to_json(x.key)::text || ':' || x.value::text, ','
                                       order by x.key collate "C")
                     from jsonb_each(p_object) x), '') || '}'
end;

-- Send a request; its result is the response. 4xx is a result like any other, 5xx a failure.
create or replace function df.http(
  url text,
  method text default 'POST',
  body text default null,
  headers jsonb default null,
  timeout_seconds integer default 30
)
returns text
language plpgsql stable
as $$
begin
  perform df._check_request(
    'df.http', url, method, '{GET,POST,PUT,DELETE,PATCH}',
    'Invalid HTTP method: %s. Must be GET, POST, PUT, DELETE, or PATCH', timeout_seconds);
  perform df._check_headers('df.http', headers);
  return '{"node_type":"HTTP","query":' || to_json(
    '{"url":' || to_json(url)::text
    || ',"method":' || to_json(upper(method))::text
    || ',"body":' || coalesce(to_json(body)::text, 'null')
    || ',"headers":' || coalesce(df._compact(headers), 'null')
    || ',"timeout_seconds":' || timeout_seconds || '}')::text || '}';
end
$$;

-- Send a form with files: multipart/form-data.
create or replace function df.http_multipart(
  url text,
  method text default 'POST',
  parts jsonb default null,
  headers jsonb default null,
  timeout_seconds integer default 30
)
returns text
language plpgsql stable
as $$
declare
  v_problem text;
begin
  perform df._check_request(
    'df.http_multipart', url, method, '{POST,PUT,PATCH}',
    'Invalid HTTP method for multipart: %s. Must be POST, PUT, or PATCH', timeout_seconds);
  v_problem := df._parts_problem(parts);
  if v_problem is not null then
    raise exception using errcode = 'WF001', message = v_problem;
  end if;
  perform df._check_headers('df.http_multipart', headers);
  return '{"node_type":"HTTP_MULTIPART","query":' || to_json(
    '{"url":' || to_json(url)::text
    || ',"method":' || to_json(upper(method))::text
    || ',"parts":[' || (select string_agg(df._compact(p.part), ',' order by p.place)
                        from jsonb_array_elements(parts) with ordinality p (part, place)) || ']'
    || ',"headers":' || coalesce(df._compact(headers), 'null')
    || ',"timeout_seconds":' || timeout_seconds || '}')::text || '}';
end
$$;

-- For those to whom it is granted: df.grant_usage(role, include_http => true).
revoke execute on function
  df.http(text, text, text, jsonb, integer),
  df.http_multipart(text, text, jsonb, jsonb, integer)
from public;

-- A request with other than the usual options: how many redirects it may follow, whether it tells
-- servers by an Idempotency-Key which requests are the same, whether its body is base64 of bytes.
create or replace function df.http_options(
  request text,
  redirects integer default null,
  idempotency_key boolean default null,
  body_base64 boolean default null
)
returns text
language plpgsql stable
as $$
declare
  v_node record;
  v_options jsonb;
  v_config text;
begin
  if request is null then
    raise exception using errcode = 'WF001', message = 'df.http_options: request must not be null';
  end if;
  v_node := df._read(request, '');
  if coalesce(v_node.node_type, '') not in ('HTTP', 'HTTP_MULTIPART') then
    raise exception using
      errcode = 'WF001',
      message = format('df.http_options: the step is %s, and not a request',
                       coalesce(v_node.node_type, 'SQL')),
      hint = 'Give it what df.http or df.http_multipart returns.';
  elsif coalesce(json_typeof(df._json(v_node.query)), '') <> 'object' then
    raise exception using
      errcode = 'WF001', message = 'df.http_options: Invalid HTTP config: not a JSON object';
  elsif redirects not between 0 and 20 then
    raise exception using
      errcode = 'WF001',
      message = format('df.http_options: redirects is %s; it must be from 0 to 20', redirects);
  elsif v_node.node_type = 'HTTP_MULTIPART' and body_base64 then
    raise exception using
      errcode = 'WF001', message = 'df.http_options: body_base64 is not for forms';
  end if;
  v_options := jsonb_strip_nulls(jsonb_build_object(
    'redirects', redirects, 'idempotency_key', idempotency_key, 'body_base64', body_base64));
  select string_agg(to_json(x.key)::text || ':' || x.value, ',' order by x.place) into v_config
  from (
    select c.key, c.value::text, c.place
    from json_each(df._json(v_node.query)) with ordinality c (key, value, place)
    where not v_options ? c.key
    union all
    select o.key, o.value::text, 1000 + o.place
    from jsonb_each(v_options) with ordinality o (key, value, place)
  ) x (key, value, place);
  return '{"node_type":"' || v_node.node_type || '","query":'
    || to_json('{' || coalesce(v_config, '') || '}')::text
    || coalesce(',"result_name":' || to_json(v_node.result_name)::text, '') || '}';
end
$$;
