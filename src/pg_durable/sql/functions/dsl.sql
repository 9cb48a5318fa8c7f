-- The builders: pure functions from texts to an envelope. An operand that is no envelope is
-- one SQL statement. All are strict, so a null operand makes the whole expression null.

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

-- Both at once; the first to finish decides, and the other is stopped and rolled back.
create or replace function df.race(a text, b text)
returns text
stable strict
return '{"node_type":"RACE","left_node":' || df._envelope(a)
    || ',"right_node":' || df._envelope(b) || '}';
