-- df.explain: a graph as a tree to read.

create or replace function df._cut(p_text text, p_most int)
returns text
immutable parallel safe
return case
  when length(p_text) > p_most then left(p_text, p_most - 3) || '...'
  else p_text
end;

-- What stands for a node in its line. The query of a hand-written node may be anything.
create or replace function df._node_text(p_node_type text, p_query text, p_result_name text)
returns text
language plpgsql immutable
as $$
declare
  v_config json;
  v_text text;
begin
  begin
    v_config := case when df._looks_like_json(p_query) then df._json(p_query) end;
  exception when sqlstate 'WF001' or sqlstate 'WF007' then
    null;                       -- the instance fails for it, with the reason
  end;
  v_text := case p_node_type
    when 'SQL' then 'SQL: ' || df._cut(p_query, 50)
    when 'SLEEP' then
      'SLEEP ' || case when v_config is null then p_query || 's'
                       else 'until ' || (v_config ->> 'until') end
    when 'WAIT_SCHEDULE' then
      'WAIT ''' || (v_config ->> 'cron_expr') || ''''
      || coalesce(' in ' || (v_config ->> 'time_zone'), '')
    when 'SIGNAL' then
      'SIGNAL ''' || (v_config ->> 'signal_name') || ''''
      || coalesce(' (' || (v_config ->> 'timeout_seconds') || 's)', '')
    when 'BREAK' then
      'BREAK' || coalesce(' ''' || df._cut(v_config ->> 'break_value', 20) || '''', '')
    when 'LOOP' then
      case when v_config ->> 'condition_node' is null then 'LOOP (infinite)'
           else 'LOOP (while)' end
    when 'JOIN' then
      'JOIN (' || 2 + coalesce(json_array_length(v_config -> 'extra_nodes'), 0) || ')'
    when 'HTTP' then
      'HTTP ' || (v_config ->> 'method') || ' '
      || df._cut(df._without_references(v_config ->> 'url'), 40)
    when 'HTTP_MULTIPART' then
      'HTTP_MULTIPART ' || (v_config ->> 'method') || ' '
      || df._cut(df._without_references(v_config ->> 'url'), 40)
  end;
  return coalesce(v_text, p_node_type)
    || case
      when p_node_type <> 'RACE' and p_result_name is not null
        then ' |=> ''' || p_result_name || ''''
      else ''
    end;
end
$$;

-- What is drawn below a node: pairs of a label and a child's id, in order.
create or replace function df._branches(p_node_type text, p_left text, p_right text, p_query text)
returns text[]
language plpgsql immutable
as $$
begin
  case p_node_type
    when 'LOOP' then
      return array[['↻ body:', p_left], ['? while:', p_query::json ->> 'condition_node']];
    when 'IF' then
      return array[['? condition:', p_query::json ->> 'condition_node'],
                   ['✓ then:', p_left], ['✗ else:', p_right]];
    when 'JOIN', 'RACE' then
      return array(
        select array[format('║ branch %s:', c.place), c.id]
        from unnest(df._children(p_node_type, p_left, p_right, p_query))
             with ordinality c (id, place)
        order by c.place);
    else
      return '{}';
  end case;
end
$$;

-- Draw the nodes below p_root: {id: {type, text, left, right, query}, …}.
-- Iterative, for a graph may be deeper than the server's stack. What is still to be drawn
-- lies on a stack of lines: a node's id (null: a label), the line's beginning, and the
-- indents that later steps of its sequence and its own children get.
create or replace function df._tree(p_nodes jsonb, p_root text)
returns text
language plpgsql stable
as $$
declare
  v_ids text[] := array[p_root];
  v_starts text[] := array[''];
  v_steps text[] := array[''];
  v_indents text[] := array['    '];
  v_top int := 1;
  v_id text;
  v_start text;
  v_step text;
  v_indent text;
  v_node jsonb;
  v_branches text[];
  v_last boolean;
  v_lines text[] := '{}';
  v_width int;
  v_count int := (select count(*) from jsonb_object_keys(p_nodes));
  v_drawn int := 0;
begin
  while v_top > 0 loop
    v_id := v_ids[v_top];
    v_start := v_starts[v_top];
    v_step := v_steps[v_top];
    v_indent := v_indents[v_top];
    v_top := v_top - 1;

    if v_id is null then
      v_lines := v_lines || v_start;
      continue;
    end if;
    v_node := p_nodes -> v_id;
    -- Rows that are no graph, but a circle, would never end.
    v_drawn := v_drawn + 1;
    exit when v_drawn > v_count;
    continue when length(v_indent) > 2000;

    if v_node ->> 'type' = 'THEN' then       -- not drawn itself: its steps, one after the other
      for i in reverse 2 .. 1 loop
        continue when v_node ->> (array['left', 'right'])[i] is null;
        v_top := v_top + 1;
        v_ids[v_top] := v_node ->> (array['left', 'right'])[i];
        v_starts[v_top] := case i when 1 then v_start else v_step || '→ ' end;
        v_steps[v_top] := v_step;
        v_indents[v_top] := v_step || '    ';
      end loop;
      continue;
    end if;

    v_lines := v_lines || (v_start || (v_node ->> 'text'));
    v_branches := df._branches(v_node ->> 'type', v_node ->> 'left', v_node ->> 'right',
                               v_node ->> 'query');
    v_last := true;
    for i in reverse coalesce(array_length(v_branches, 1), 0) .. 1 loop
      continue when v_branches[i][2] is null;
      v_last := v_last or v_node ->> 'type' not in ('JOIN', 'RACE');
      v_top := v_top + 2;
      v_ids[v_top - 1] := v_branches[i][2];
      v_starts[v_top - 1] := v_indent || case when v_last then '  └─' else '  ├─' end;
      v_steps[v_top - 1] := v_indent || '  ';
      v_indents[v_top - 1] := v_indent || case when v_last then '      ' else '  │   ' end;
      v_ids[v_top] := null;
      v_starts[v_top] := v_indent || v_branches[i][1];
      v_last := false;
    end loop;
  end loop;

  v_lines := string_to_array(array_to_string(v_lines, E'\n'), E'\n');
  v_width := 4 + (select max(length(l)) from unnest(v_lines) l);
  return (select string_agg(rpad(l, v_width), E'\n' order by place)
          from unnest(v_lines) with ordinality x (l, place));
end
$$;

-- The tree of an envelope, or why there is none.
create or replace function df._explain_envelope(p_envelope text)
returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_json json := df._json(p_envelope);
  v_problem text;
  v_nodes jsonb;
begin
  v_problem := case
    when json_typeof(v_json) is distinct from 'object' then 'not a JSON object'
    else (df._fields(v_json)).problem
  end;
  if v_problem is not null then
    return 'Failed to parse Durofut JSON: failed to deserialize Durofut: ' || v_problem;
  end if;

  select jsonb_object_agg(g.id, jsonb_build_object(
      'type', g.node_type, 'left', g.left_node, 'right', g.right_node, 'query', g.query,
      'text', df._node_text(g.node_type, g.query, g.result_name)))
    into v_nodes
  from df._graph(v_json, '00000000', false) g;
  return df._tree(v_nodes, '00000000');
exception when sqlstate 'WF001' or sqlstate 'WF007' then
  return sqlerrm;
end
$$;

-- The tree of an instance of the caller's, with what became of each node.
create or replace function df._explain_instance(p_instance text)
returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_instance df.instances;
  v_status text;
  v_nodes jsonb;
begin
  select i.* into v_instance
  from df.instances i
  where i.id = p_instance;
  if not found then
    return format('Instance ''%s'' not found', p_instance);
  end if;

  select jsonb_object_agg(n.node_id, jsonb_build_object(
      'type', n.node_type, 'left', n.left_node, 'right', n.right_node, 'query', n.query,
      'text', df._node_text(n.node_type, n.query, n.result_name)
              || ' ' || df._icon(n.inferred_status)))
    into v_nodes
  from df.instance_nodes(p_instance) n;
  if v_nodes is null then
    return format('No nodes found for instance ''%s''', p_instance);
  end if;

  v_status := v_instance.status;
  return 'Instance: ' || p_instance || coalesce(' (' || v_instance.label || ')', '')
    || E'\nStatus:   ' || df._icon(v_status) || ' '
    || case v_status when 'pending' then v_status else initcap(v_status) end
    || coalesce(E'\nOutput:   ' || df._cut(df._output(v_instance), 60), '')
    || E'\n\n'
    || df._tree(v_nodes, v_instance.root_node);
end
$$;

create or replace function df._icon(p_status text)
returns text
immutable parallel safe
return case p_status
  when 'completed' then '✓'
  when 'failed' then '✗'
  when 'cancelled' then '✗'
  when 'running' then '⏳'
  when 'skipped' then '⊘'
  else '○'
end;

-- Explain an instance (8 hexadecimal digits), an envelope, an SQL statement, or an expression
-- of df functions and operators, which is evaluated for it with the caller's rights.
create or replace function df.explain(input text)
returns text
language plpgsql strict
as $$
declare
  v_input text := btrim(input, E' \t\r\n');
  v_envelope text;
begin
  if v_input ~ '^[0-9A-Fa-f]{8}$' then
    return df._explain_instance(lower(v_input));
  elsif df._looks_like_json(v_input) and (df._fields(df._json(v_input))).node_type is not null then
    return df._explain_envelope(v_input);
  elsif v_input ~* ('^(select|insert|update|delete|with|create|alter|drop|call|do|truncate|'
                    'grant|revoke|explain)\s') then
    return df._explain_envelope(df.sql(v_input));
  elsif df._looks_like_json(v_input) or v_input !~ '~>|\|=>|\?>|!>|@>|df\.' then
    return E'Cannot explain input: not a valid Durofut JSON, instance ID, SQL statement, '
           'or DSL expression.\n'
           'Hint: DSL expressions use df.*() functions and operators like ~>, |=>, &, |.';
  end if;

  execute 'select ' || v_input into v_envelope;
  if v_envelope is null then
    return 'Expression returned NULL';
  end if;
  return df._explain_envelope(v_envelope);
end
$$;
