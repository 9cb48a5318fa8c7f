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

-- The door for deleting, built like df._start: one variable, or all of the caller's (null). The right
-- to delete from the table would be one to lock it, and with it every start.
create or replace view df._unset as
select
  null::text as name,
  null::name as caller
where false;

create or replace function df._unset_variables()
returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  delete from df.vars v
  where v.owner = quote_ident(new.caller)::regrole
    and (v.name = new.name or new.name is null);
  return new;
end
$$;
-- Whoever may execute it could hang it on a view of their own, with a caller of their choice.
revoke all on function df._unset_variables() from public;

create or replace trigger _stamp_caller
  instead of insert on df._unset
  for each row execute function df._stamp_caller();

create or replace trigger unset_variables
  instead of insert on df._unset
  for each row execute function df._unset_variables();

create or replace function df.unsetvar(name text)
returns text
language plpgsql strict
as $$
begin
  perform df._not_in_workflow('df.unsetvar() cannot be called inside a workflow - '
                              'manage variables before starting the workflow');
  perform df._refuse_without_triggers('df.unsetvar(): nothing was deleted');
  insert into df._unset (name) values (unsetvar.name);
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
  perform df._refuse_without_triggers('df.clearvars(): nothing was deleted');
  insert into df._unset (name) values (null);
  return df._helper_result('df.clearvars', 'OK');
end
$$;
