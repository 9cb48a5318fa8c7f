-- Envelopes: the JSON texts that describe graphs. Read, checked, rewritten; never stored.

-- The types a node may have.
create or replace function df._node_types()
returns text[]
immutable parallel safe
return array['SQL', 'THEN', 'IF', 'JOIN', 'LOOP', 'BREAK', 'RACE', 'SLEEP', 'WAIT_SCHEDULE',
             'HTTP', 'HTTP_MULTIPART', 'SIGNAL'];

-- What to say about a type that is not among them.
create or replace function df._unknown_type(node_type text)
returns text
immutable parallel safe
return format('Unknown node_type ''%s''. Valid types: %s',
              node_type, array_to_string(df._node_types(), ', '));

-- Whether a text may be JSON at all; plain SQL never is, and is spared the parser.
create or replace function df._looks_like_json(value text)
returns boolean
immutable parallel safe
return left(ltrim(value, E' \t\r\n'), 1) = '{';

-- The text as JSON, or null when it is none. The type json lets escapes pass that stand for no
-- character; whoever looks at a field would stumble over them.
create or replace function df._json(value text)
returns json
language plpgsql immutable strict
as $$
declare
  v_json json;
begin
  v_json := value::json;
  if strpos(value, '\u') > 0 and value ~* '\\u(0000|d[89a-f])' then
    begin
      perform value::jsonb;
    exception when invalid_text_representation or untranslatable_character then
      raise exception using
        errcode = 'WF001',
        message = format('Invalid JSON: an escape in it stands for no character, at %s',
                         df._cut(substring(value from '(?i).{0,20}\\u(?:0000|d[89a-f]).*'), 60)),
        hint = 'PostgreSQL texts hold neither \u0000 nor half of a surrogate pair, such as \ud800.';
    end;
  end if;
  return v_json;
exception
  when invalid_text_representation or untranslatable_character then
    return null;
  when statement_too_complex then     -- nested so deep that the parser ran out of stack
    raise exception using
      errcode = 'WF007',
      message = 'Graph exceeds maximum nesting depth of 256. '
                'Simplify the workflow or break it into multiple instances.';
end
$$;

-- The fields of one envelope; its children stay the texts they are.
-- node_type is null when there is no such text; problem says why the rest is no envelope.
create or replace function df._fields(
  envelope json,
  out node_type text,
  out left_node json,
  out right_node json,
  out condition_node json,
  out extra_nodes json,
  out query text,
  out result_name text,
  out partial_if boolean,
  out problem text
)
language plpgsql immutable
as $$
declare
  f record;
begin
  select * into f
  from json_to_record(envelope) as x (
    node_type json, left_node json, right_node json, condition_node json, extra_nodes json,
    query json, result_name json, _partial_if json);

  if json_typeof(f.node_type) = 'string' then
    node_type := f.node_type #>> '{}';
  end if;
  left_node := f.left_node;
  right_node := f.right_node;
  condition_node := f.condition_node;
  extra_nodes := f.extra_nodes;
  query := f.query #>> '{}';
  result_name := f.result_name #>> '{}';
  partial_if := node_type is null and f._partial_if::text is not distinct from 'true';

  problem := case
    when node_type is null then 'missing field `node_type`'
    when json_typeof(left_node) <> 'object' or json_typeof(right_node) <> 'object'
      then 'Durofut children must be JSON objects'
    when json_typeof(condition_node) <> 'object'
      then 'condition_node must be a Durofut JSON object'
    when json_typeof(extra_nodes) <> 'array' then 'extra_nodes must be a JSON array'
    when json_typeof(f.query) <> 'string' then 'query must be a JSON string'
    when json_typeof(f.result_name) <> 'string' then 'result_name must be a JSON string'
  end;
  if problem is null and extra_nodes is not null
     and exists (select from json_array_elements(extra_nodes) x where json_typeof(x) <> 'object')
  then
    problem := 'extra_nodes entries must be Durofut JSON objects';
  end if;
end
$$;

-- Decide what an operand is: the fields of a graph, or node_type null for an SQL statement.
-- p_prefix is '' for a builder; df.start names itself there and is answered in its own words.
create or replace function df._read(
  p_operand text,
  p_prefix text,
  out node_type text,
  out left_node json,
  out right_node json,
  out condition_node json,
  out extra_nodes json,
  out query text,
  out result_name text
)
language plpgsql stable
as $$
declare
  v_fields record;
begin
  if not df._looks_like_json(p_operand) then
    perform df._refuse_helper(p_operand, p_prefix);
    return;
  end if;

  v_fields := df._fields(coalesce(df._json(p_operand), '{}'));
  if v_fields.partial_if then
    raise exception using
      errcode = 'WF001',
      message = p_prefix || 'Invalid if-then-else: left side of !> must be a ?> expression',
      hint = 'A ?> is complete only with its !>. Put longer branches in parentheses: '
             'a ?> (b ~> c) !> d.';
  elsif v_fields.node_type is null then
    return;
  elsif v_fields.node_type <> all (df._node_types()) then
    raise exception using
      errcode = 'WF001', message = p_prefix || df._unknown_type(v_fields.node_type);
  elsif v_fields.problem is not null then
    raise exception using
      errcode = 'WF001',
      message = case p_prefix
        when '' then 'Invalid Durofut JSON: failed to deserialize workflow step: '
        else format('%sMalformed Durofut JSON with node_type ''%s'': ',
                    p_prefix, v_fields.node_type)
      end || v_fields.problem;
  end if;

  node_type := v_fields.node_type;
  left_node := v_fields.left_node;
  right_node := v_fields.right_node;
  condition_node := v_fields.condition_node;
  extra_nodes := v_fields.extra_nodes;
  query := v_fields.query;
  result_name := v_fields.result_name;
end
$$;

-- An operand as a canonical envelope: known fields only, in order, children verbatim.
-- A p_name that is not empty becomes the node's result_name, whatever it was called before.
-- The search_path is that of df.start: with two in turn, every plan would be made anew.
create or replace function df._envelope(p_operand text, p_name text default '')
returns text
language plpgsql stable strict
set search_path = pg_catalog, pg_temp
as $$
declare
  v_node record;
  v_name text;
begin
  v_node := df._read(p_operand, '');
  v_name := coalesce(nullif(p_name, ''), v_node.result_name);
  return case
      when v_node.node_type is null then
        '{"node_type":"SQL","query":' || to_json(p_operand)::text
      else
        '{"node_type":"' || v_node.node_type || '"'
        || coalesce(',"left_node":' || v_node.left_node::text, '')
        || coalesce(',"right_node":' || v_node.right_node::text, '')
        || coalesce(',"condition_node":' || v_node.condition_node::text, '')
        || coalesce(',"extra_nodes":' || v_node.extra_nodes::text, '')
        || coalesce(',"query":' || to_json(v_node.query)::text, '')
    end
    || coalesce(',"result_name":' || to_json(v_name)::text, '')
    || '}';
end
$$;

-- Remember what a helper (df.setvar and the like) returned, so that the same statement
-- cannot use it as a step. Forgotten with the transaction, and outdated with the statement.
create or replace function df._helper_result(p_function text, p_value text)
returns text
language plpgsql volatile
as $$
begin
  perform set_config(
    'df.non_future_helper',
    format(E'%s\n%s\n%s', extract(epoch from statement_timestamp()), p_function, p_value),
    true);
  return p_value;
end
$$;

-- Raise when an operand is the very value that a helper returned in this statement.
create or replace function df._refuse_helper(p_operand text, p_prefix text)
returns void
language plpgsql stable
as $$
declare
  v_mark text := current_setting('df.non_future_helper', true);
  v_function text;
begin
  if v_mark is null or v_mark = '' then
    return;
  end if;
  v_function := split_part(v_mark, E'\n', 2);
  if v_mark
     = format(E'%s\n%s\n%s', extract(epoch from statement_timestamp()), v_function, p_operand)
  then
    raise exception using
      errcode = 'WF001',
      message = format('%s%s cannot be used as a workflow step. Call %s before df.start().',
                       p_prefix, v_function, v_function);
  end if;
end
$$;
