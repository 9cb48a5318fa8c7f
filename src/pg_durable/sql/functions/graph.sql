-- From an envelope to the rows of its graph, with every check on the way.

-- The nodes of a graph, parents before children; the first is the root and has id p_root_id.
-- The k-th id is root - k * a random number of at most 200,000, modulo 2^32: all differ. From a
-- root of 2^31 or more they fall, so that deeper nodes come first in the key of df.nodes: that is
-- the order in which rows are to be locked (df._record).
-- p_to_run also demands that the nodes are complete and of types this version can run.
create or replace function df._graph(p_envelope json, p_root_id text, p_to_run boolean)
returns table (
  id text, node_type text, query text, result_name text, left_node text, right_node text
)
language plpgsql
as $$
declare
  v_envelopes json[] := array[p_envelope];    -- those met so far; taken one after the other
  v_paths text[] := array['root'];
  v_depths int[] := array[0];
  v_root bigint := ('x' || p_root_id)::bit(32)::bigint;
  v_stride bigint := 1 + floor(random() * 200000)::bigint;
  v_met int := 1;
  v_taken int := 0;
  v_node record;
  v_children json[];
  v_ids text[];
  v_limit text;
  v_problem text;
begin
  while v_taken < v_met loop
    v_taken := v_taken + 1;
    v_node := df._fields(v_envelopes[v_taken]);
    v_envelopes[v_taken] := null;

    v_limit := case
      when v_depths[v_taken] > 256 then
        'Graph exceeds maximum nesting depth of 256. '
        'Simplify the workflow or break it into multiple instances.'
      when v_taken > 10000 then
        'Workflow exceeds maximum node count of 10000. '
        'Simplify the workflow or break it into multiple instances.'
    end;
    v_problem := coalesce(v_limit, df._graph_problem(v_node));
    if v_problem is null and p_to_run then
      v_problem := df._run_problem(v_node, v_paths[v_taken]);
    end if;
    if v_problem is not null then
      raise exception using
        errcode = case when v_limit is null then 'WF001' else 'WF007' end,
        message = format('Invalid durable function graph: %s: %s', v_paths[v_taken], v_problem);
    end if;

    v_children := array[v_node.left_node, v_node.right_node, v_node.condition_node];
    if v_node.extra_nodes is not null then
      v_children := v_children || array(select json_array_elements(v_node.extra_nodes));
    end if;
    v_ids := '{}';
    for i in 1 .. cardinality(v_children) loop
      continue when v_children[i] is null;
      v_ids[i] := lpad(to_hex((v_root - v_met * v_stride) & 4294967295), 8, '0');
      v_met := v_met + 1;
      v_envelopes[v_met] := v_children[i];
      v_depths[v_met] := v_depths[v_taken] + 1;
      v_paths[v_met] := v_paths[v_taken] || case i
        when 1 then '.left'
        when 2 then '.right'
        when 3 then '.condition_node'
        else format('.extra_nodes[%s]', i - 4)
      end;
    end loop;

    id := lpad(to_hex((v_root - (v_taken - 1) * v_stride) & 4294967295), 8, '0');
    node_type := v_node.node_type;
    query := df._with_children(v_node.query, v_ids[3], v_ids[4:]);
    result_name := v_node.result_name;
    left_node := v_ids[1];
    right_node := v_ids[2];
    return next;
  end loop;
end
$$;

-- Why a node cannot be part of a graph, or null.
create or replace function df._graph_problem(p_node record)
returns text
language plpgsql immutable
as $$
declare
  v_type text := p_node.node_type;
  v_config json;
begin
  if v_type <> all (df._node_types()) then
    return df._unknown_type(v_type);
  elsif p_node.problem is not null then
    return 'failed to deserialize Durofut child: ' || p_node.problem;
  elsif p_node.condition_node is not null and v_type not in ('IF', 'LOOP') then
    return format('condition_node is not valid for %s nodes', v_type);
  elsif p_node.extra_nodes is not null and v_type <> 'JOIN' then
    return format('extra_nodes is not valid for %s nodes', v_type);
  elsif p_node.query is null or v_type not in ('IF', 'LOOP', 'JOIN') then
    return null;
  end if;

  -- The query of these is configuration; ids of children are merged into it.
  v_config := df._json(p_node.query);
  if v_config is null then
    return format('query in %s must be valid JSON config: invalid input syntax for type json',
                  v_type);
  elsif json_typeof(v_config) <> 'object' then
    return format('query in %s must be a JSON config object', v_type);
  elsif v_type <> 'JOIN' and (v_config -> 'condition_node') is not null then
    return format('condition_node in %s must be a first-class Durofut field, '
                  'not embedded in query', v_type);
  elsif v_type = 'JOIN' and (v_config -> 'extra_nodes') is not null then
    return 'extra_nodes in JOIN must be a first-class Durofut field, not embedded in query';
  end if;
  return null;
end
$$;

-- Why a node of a graph cannot be run, or null. An incomplete node breaks a table constraint,
-- and is answered as the table would; here the answer can tell the node's place.
create or replace function df._run_problem(p_node record, p_path text)
returns text
language plpgsql stable
as $$
declare
  v_constraint text;
begin
  v_constraint := case
    when p_node.result_name !~ '^[A-Za-z_][A-Za-z0-9_]*$' then 'nodes_result_name_chk'
    when not case
      when p_node.node_type in ('THEN', 'RACE') then
        p_node.left_node is not null and p_node.right_node is not null and p_node.query is null
      when p_node.node_type = 'IF' then
        p_node.left_node is not null and p_node.right_node is not null
        and (p_node.query is not null or p_node.condition_node is not null)
      when p_node.node_type = 'JOIN' then
        p_node.left_node is not null and p_node.right_node is not null
      when p_node.node_type = 'LOOP' then
        p_node.left_node is not null and p_node.right_node is null
      else
        p_node.left_node is null and p_node.right_node is null and p_node.query is not null
    end then 'nodes_structure_chk'
  end;
  if v_constraint is not null then
    raise exception using
      errcode = 'check_violation',
      schema = 'df',
      table = 'nodes',
      constraint = v_constraint,
      message = format('new row for relation "nodes" violates check constraint "%s"',
                       v_constraint),
      detail = format('The node is %s (%s).', p_path, p_node.node_type);
  end if;
  return case
    when p_node.node_type in ('SLEEP', 'WAIT_SCHEDULE', 'SIGNAL', 'BREAK')
      then df._leaf_problem(p_node.node_type, p_node.query)
    when p_node.node_type in ('HTTP', 'HTTP_MULTIPART')
      then df._request_problem(p_node.node_type, p_node.query)
  end;
end
$$;

-- What is wrong with the configuration of a leaf that is no statement, or null. What the
-- builders make is right; an envelope written by hand need not be.
create or replace function df._leaf_problem(p_node_type text, p_query text)
returns text
language plpgsql stable
as $$
declare
  v_config json;
  v_cron text;
  v_until text;
  v_wanted text := case p_node_type
    when 'SLEEP' then 'seconds, such as 5 or 0.25, or '
                      'a JSON object with until, such as "2026-12-01T00:00:00+00:00"'
    when 'WAIT_SCHEDULE' then 'a JSON object with the texts cron_expr and, if wanted, time_zone'
    when 'SIGNAL' then 'a JSON object with signal_name, a text of 1 to 2000 bytes, and '
                       'timeout_seconds, null or a positive integer'
    when 'BREAK' then 'a JSON object with break_value, a text or null'
  end;
begin
  v_wanted := format('query in %s must be %s', p_node_type, v_wanted);
  if p_node_type = 'SLEEP' and p_query ~ '^[0-9]{1,19}(\.[0-9]{1,6})?$' then
    return null;
  end if;
  v_config := p_query::json;
  if json_typeof(v_config) <> 'object' then
    return v_wanted;
  end if;

  case p_node_type
    when 'SLEEP' then
      v_until := v_config ->> 'until';
      return case
        when v_until ~ ('^[0-9]{4}-[0-9]{2}-[0-9]{2}T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]'
                        '(\.[0-9]{1,6})?(Z|[+-][0-9]{2}:[0-5][0-9])$')
             and isfinite(v_until::timestamptz)
          then null
        else v_wanted
      end;
    when 'WAIT_SCHEDULE' then
      v_cron := v_config ->> 'cron_expr';
      return case
        when json_typeof(v_config -> 'cron_expr') is distinct from 'string'
             or json_typeof(v_config -> 'time_zone') not in ('string', 'null')
          then v_wanted
        else coalesce(
          format('Invalid cron expression ''%s'': ', v_cron) || df._cron_problem(v_cron),
          df._zone_problem(v_config ->> 'time_zone'))
      end;
    when 'SIGNAL' then
      return case
        when json_typeof(v_config -> 'signal_name') = 'string'
             and octet_length(v_config ->> 'signal_name') between 1 and 2000
             and coalesce(v_config ->> 'timeout_seconds', '1') ~ '^[1-9][0-9]{0,9}$'
             and coalesce(json_typeof(v_config -> 'timeout_seconds'), 'null') in ('number', 'null')
             and coalesce((v_config ->> 'timeout_seconds')::bigint, 1) <= 2147483647
          then null
        else v_wanted
      end;
    when 'BREAK' then
      return case
        when json_typeof(v_config -> 'break_value') in ('string', 'null') then null
        else v_wanted
      end;
  end case;
exception
  when invalid_text_representation or untranslatable_character or statement_too_complex
       or invalid_datetime_format or datetime_field_overflow then
    return v_wanted;
end
$$;

-- A node's stored query: its own, with the ids of a condition and of further branches.
create or replace function df._with_children(
  p_query text,
  p_condition_id text,
  p_extra_ids text[]
)
returns text
language plpgsql immutable
as $$
begin
  if p_condition_id is null and cardinality(p_extra_ids) = 0 then
    return p_query;
  elsif p_query is not null then
    return p_query::jsonb || df._with_children(null, p_condition_id, p_extra_ids)::jsonb;
  elsif p_condition_id is not null then
    return format('{"condition_node":"%s"}', p_condition_id);
  end if;
  return format('{"extra_nodes":["%s"]}', array_to_string(p_extra_ids, '","'));
end
$$;
