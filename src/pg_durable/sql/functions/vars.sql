-- Variables of the calling role, filled into {name} by the instances it starts later.

-- Refuse to manage variables from within a step: the instance works on its own snapshot.
create or replace function df._not_in_workflow(p_message text)
returns void
language plpgsql stable
as $$
begin
  if current_setting('df.in_workflow', true) = 'true' then
    raise exception using errcode = 'WF004', message = p_message;
  end if;
end
$$;

create or replace function df.setvar(name text, value text)
returns text
language plpgsql strict
as $$
begin
  perform df._not_in_workflow('df.setvar() cannot be called inside a workflow - '
                              'set variables before starting the workflow');
  insert into df.vars as v (name, value)
  values (setvar.name, setvar.value)
  on conflict on constraint vars_pkey do update set value = excluded.value;
  return df._helper_result('df.setvar', 'OK');
end
$$;

create or replace function df.getvar(name text)
returns text
language sql stable strict
as $$
  select v.value
  from df.vars v
  where v.owner = quote_ident(current_user)::regrole
    and v.name = getvar.name;
$$;

create or replace function df.unsetvar(name text)
returns text
language plpgsql strict
as $$
begin
  perform df._not_in_workflow('df.unsetvar() cannot be called inside a workflow - '
                              'manage variables before starting the workflow');
  delete from df.vars v
  where v.owner = quote_ident(current_user)::regrole
    and v.name = unsetvar.name;
  return df._helper_result('df.unsetvar', 'OK');
end
$$;

create or replace function df.clearvars()
returns text
language plpgsql
as $$
begin
  perform df._not_in_workflow('df.clearvars() cannot be called inside a workflow - '
                              'manage variables before starting the workflow');
  delete from df.vars v
  where v.owner = quote_ident(current_user)::regrole;
  return df._helper_result('df.clearvars', 'OK');
end
$$;
