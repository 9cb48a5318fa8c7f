-- What is wrong with a request, as far as can be told when a workflow is built.

-- Why a url cannot be called, or null. What is filled in later cannot be judged yet.
create or replace function df._url_problem(p_url text)
returns text
language plpgsql stable
as $$
declare
  v_scheme text := lower(split_part(p_url, '://', 1));
begin
  if strpos(p_url, '{') = 0 and v_scheme not in ('http', 'https') then
    return format('Blocked: unsupported URL scheme ''%s''. Only http and https are allowed.',
                  v_scheme);
  elsif p_url ~ '[\x01-\x1f\x7f]' then
    return 'the url contains a control character';
  elsif strpos(p_url, '{') = 0 and strpos(p_url, '$') = 0 then
    return df._policy_problem(p_url);
  end if;
  return null;
end
$$;

-- Why pg_durable.http_policy forbids a url, as far as can be told without resolving names; null
-- also where the session does not know the policy. A first word only: the worker has the last.
create or replace function df._policy_problem(p_url text)
returns text
language plpgsql stable
as $$
declare
  v_rules text[] := array_remove(
    regexp_split_to_array(
      lower(coalesce(current_setting('pg_durable.http_policy', true), '')), '[,\s]+'),
    '');
  v_place text := regexp_replace(
    (regexp_match(substr(p_url, strpos(p_url, '://') + 3), '^[^/?#]*'))[1], '^.*@', '');
  v_host text := lower(case when v_place like '[%' then substring(v_place from '^\[([^\]]*)\]')
                            else split_part(v_place, ':', 1) end);
  v_is_address boolean := v_place like '[%' or v_host ~ '^[0-9]{1,3}(\.[0-9]{1,3}){3}$';
  v_private inet[] := '{0.0.0.0/8, 10.0.0.0/8, 100.64.0.0/10, 127.0.0.0/8, 169.254.0.0/16,
                        172.16.0.0/12, 192.168.0.0/16, ::/127, fc00::/7, fe80::/10}';
  v_open boolean;
begin
  if cardinality(v_rules) = 0 then
    return null;
  elsif v_rules = '{none}' then
    return 'Blocked: outbound HTTP requests are disabled. '
           'Set pg_durable.http_policy to what may be called.';
  elsif coalesce(v_host, '') = '' then
    return 'Blocked: unable to extract hostname from URL.';
  end if;

  v_open := exists (select from unnest(v_rules) r where r ~ '^public(:[0-9]+)?$');
  if not v_is_address then
    return case
      when not v_open
           and not exists (
             select
             from unnest(v_rules) r,
                  regexp_replace(r, ':[0-9]+$', '') x (host)
             where x.host = v_host
                or x.host like '*.%' and right(v_host, length(x.host) - 1) = substr(x.host, 2)
                   and length(v_host) > length(x.host) - 1)
        then format('Blocked: ''%s'' is not in the allowed endpoint list. Only requests to hosts '
                    'that pg_durable.http_policy names are permitted.', v_host)
    end;
  elsif exists (select from unnest(v_rules) r where r ~ '^([0-9.]+[/:0-9]*|\[?[0-9a-f]*:[0-9a-f]*:[]0-9a-f:./]*)$')
  then
    return null;      -- ranges are named: the worker looks whether this is in one of them
  elsif not v_open then
    return format('Blocked: requests to bare IP addresses are not permitted. '
                  'Use a host name, or name %s in pg_durable.http_policy.', v_place);
  elsif v_host::inet << any (v_private) or v_host::inet = any (v_private) then
    return format('Blocked: the resolved IP address for ''%s'' is in a restricted range. '
                  'df.http() cannot access private or internal network addresses.', v_host);
  end if;
  return null;
exception when invalid_text_representation then
  return format('Blocked: ''%s'' is neither a host name nor an IP address in its usual form.',
                v_host);
end
$$;

-- What is wrong with headers, or null.
create or replace function df._headers_problem(p_headers jsonb)
returns text
language plpgsql immutable
as $$
declare
  v_problem text;
begin
  if p_headers is null or jsonb_typeof(p_headers) = 'null' then
    return null;
  elsif jsonb_typeof(p_headers) <> 'object' then
    return 'headers must be a JSON object';
  end if;
  select case
      when jsonb_typeof(h.value) <> 'string' then
        format('the value of header ''%s'' must be a text', h.key)
      when h.key !~ '^[!#$%&''*+.^_`|~0-9A-Za-z-]+$' then
        format('''%s'' is not the name of a header', h.key)
      when lower(h.key) in (
        'connection', 'content-length', 'expect', 'host', 'http2-settings', 'keep-alive',
        'proxy-authenticate', 'proxy-authorization', 'proxy-connection', 'te', 'trailer',
        'transfer-encoding', 'upgrade')
        then format('header ''%s'' is set by the worker and cannot be given', h.key)
      when (h.value #>> '{}') !~ '^[\t\x20-\x7e]*$' then
        format('the value of header ''%s'' is not one line of visible ASCII characters', h.key)
      when (select count(*) from jsonb_object_keys(p_headers) k where lower(k) = lower(h.key)) > 1
        then format('header ''%s'' is given twice', h.key)
    end into v_problem
  from jsonb_each(p_headers) h
  order by 1 nulls last
  limit 1;
  return v_problem;
end
$$;

-- What is wrong with the parts of a form, or null.
create or replace function df._parts_problem(p_parts jsonb)
returns text
language plpgsql immutable
as $$
declare
  v_part jsonb;
begin
  if p_parts is null or jsonb_typeof(p_parts) = 'null' then
    return 'parts is required and cannot be NULL';
  elsif jsonb_typeof(p_parts) <> 'array' then
    return 'parts must be a JSON array of part objects';
  elsif jsonb_array_length(p_parts) = 0 then
    return 'parts must contain at least one part';
  end if;
  for v_part in select x from jsonb_array_elements(p_parts) x loop
    if jsonb_typeof(v_part) <> 'object' then
      return 'parts must be a JSON array of part objects';
    elsif exists (
      select
      from jsonb_each(v_part) x
      where x.key in ('name', 'data_b64', 'data', 'filename', 'content_type')
        and jsonb_typeof(x.value) not in ('string', 'null'))
    then
      return 'name, data_b64, data, filename and content_type of a part must be texts';
    elsif v_part ->> 'name' is null then
      return 'a part needs a name';
    elsif num_nonnulls(v_part ->> 'data_b64', v_part ->> 'data') <> 1 then
      return format('part ''%s'' needs either data_b64, in base64, or data, as text',
                    v_part ->> 'name');
    end if;
  end loop;
  return null;
end
$$;

-- The checks that both builders make, in the order in which they are documented.
create or replace function df._check_request(
  p_function text, p_url text, p_method text, p_methods text[], p_refusal text,
  p_timeout int
)
returns void
language plpgsql stable
as $$
declare
  v_missing text := case
    when p_url is null then 'url'
    when p_method is null then 'method'
    when p_timeout is null then 'timeout_seconds'
  end;
  v_problem text;
begin
  if v_missing is not null then
    raise exception using
      errcode = 'WF001', message = format('%s: %s must not be null', p_function, v_missing);
  end if;
  v_problem := df._url_problem(p_url);
  if v_problem like 'Blocked: unsupported%' then
    raise exception using errcode = 'WF004', message = v_problem;
  elsif upper(p_method) <> all (p_methods) then
    raise exception using errcode = 'WF001', message = format(p_refusal, p_method);
  elsif p_timeout <= 0 then
    raise exception using errcode = 'WF001', message = 'Timeout must be positive';
  elsif v_problem is not null then
    raise exception using
      errcode = case when v_problem like 'Blocked:%' then 'WF004' else 'WF001' end,
      message = case when v_problem like 'Blocked:%' then v_problem
                     else p_function || ': ' || v_problem end;
  end if;
end
$$;

create or replace function df._check_headers(p_function text, p_headers jsonb)
returns void
language plpgsql immutable
as $$
declare
  v_problem text := df._headers_problem(p_headers);
begin
  if v_problem is not null then
    raise exception using errcode = 'WF001', message = p_function || ': ' || v_problem;
  end if;
end
$$;

-- What is wrong with the configuration of a request that was written by hand, or null.
create or replace function df._request_problem(p_node_type text, p_query text)
returns text
language plpgsql stable
as $$
declare
  v_config jsonb;
  v_problem text;
begin
  begin
    v_config := p_query::jsonb;
  exception
    when invalid_text_representation or untranslatable_character or statement_too_complex then
      v_problem := 'not JSON';
  end;
  v_problem := coalesce(v_problem, case
    when jsonb_typeof(v_config) <> 'object' then 'not a JSON object'
    when v_config ->> 'url' is null then 'missing field `url`'
    when v_config ->> 'method' is null then 'missing field `method`'
    when jsonb_typeof(v_config -> 'url') <> 'string' then '`url` is of the wrong type'
    when jsonb_typeof(v_config -> 'method') <> 'string' then '`method` is of the wrong type'
    when jsonb_typeof(v_config -> 'body') not in ('string', 'null')
      then '`body` is of the wrong type'
    when coalesce(v_config ->> 'timeout_seconds', '30') !~ '^[1-9][0-9]{0,8}$'
         or coalesce(jsonb_typeof(v_config -> 'timeout_seconds'), 'null') not in ('number', 'null')
      then '`timeout_seconds` must be a positive integer'
    when coalesce(v_config ->> 'redirects', '0') !~ '^(1?[0-9]|20)$'
         or coalesce(jsonb_typeof(v_config -> 'redirects'), 'null') not in ('number', 'null')
      then '`redirects` must be an integer from 0 to 20'
    when coalesce(jsonb_typeof(v_config -> 'idempotency_key'), 'null') not in ('boolean', 'null')
         or coalesce(jsonb_typeof(v_config -> 'body_base64'), 'null') not in ('boolean', 'null')
      then '`idempotency_key` and `body_base64` must be true or false'
    else df._headers_problem(v_config -> 'headers')
  end, case when p_node_type = 'HTTP_MULTIPART' then df._parts_problem(v_config -> 'parts') end);
  return case
    when v_problem is not null then
      format('Invalid %s config: %s',
             case p_node_type when 'HTTP' then 'HTTP' else 'multipart HTTP' end, v_problem)
    when p_node_type = 'HTTP'
         and upper(v_config ->> 'method') not in ('GET', 'POST', 'PUT', 'DELETE', 'PATCH')
      then format('Unsupported HTTP method: %s', v_config ->> 'method')
    when p_node_type = 'HTTP_MULTIPART'
         and upper(v_config ->> 'method') not in ('POST', 'PUT', 'PATCH')
      then format('Unsupported HTTP method for multipart: %s', v_config ->> 'method')
  end;
end
$$;
