-- The record of a step, in the transaction of its statement.

-- Record a step in the transaction of its statement, and finish the instance with it when
-- it was the last (p_outcome). Runs in the submitting role's session, or in one of a worker that
-- took that role for the statement: it can only touch what the role submitted, and only while
-- p_worker holds the claim.
create or replace function df._checkpoint(
  p_instance text, p_worker bigint, p_nodes text[], p_generations int[], p_statuses text[],
  p_results text[], p_details text[], p_outcome text, p_output text
) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_outcome is null then
    perform from df.instances i
    where i.id = p_instance
      and i.worker = p_worker
      and (i.submitted_by = quote_ident(session_user)::regrole or df._called_by_worker());
  else
    update df.instances i
    set status = p_outcome, output = p_output, worker = null, due_at = null, attempts = 0,
        completed_at = clock_timestamp(), updated_at = clock_timestamp()
    where i.id = p_instance
      and i.worker = p_worker
      and (i.submitted_by = quote_ident(session_user)::regrole or df._called_by_worker())
      and p_outcome in ('completed', 'failed');
  end if;

  if not found
     or not df._record(p_instance, p_nodes, p_generations, p_statuses, p_results, p_details) then
    perform df._refuse_checkpoint(p_instance, p_nodes[1]);
  end if;
end $$;

-- The same where up to four nodes have completed with the same result, without details, and perhaps
-- the instance with them (p_ends). Most steps are so, and are spared calls and statements.
create or replace function df._checkpoint_alike(
  p_instance text, p_worker bigint, p_nodes text[], p_generation int, p_result text,
  p_ends boolean
) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_claimed boolean := true;
  v_recorded int;
begin
  if p_ends then
    update df.instances i
    set status = 'completed', output = null, worker = null, due_at = null, attempts = 0,
        completed_at = clock_timestamp(), updated_at = clock_timestamp()
    where i.id = p_instance
      and i.worker = p_worker
      and (i.submitted_by = quote_ident(session_user)::regrole or df._called_by_worker());
    v_claimed := found;
  end if;

  update df.nodes n
  set status = 'completed',
      result = p_result::json,
      error = null,
      status_details = null,
      generation = p_generation,
      due_at = null,
      updated_at = clock_timestamp()
  where v_claimed
    and n.instance_id = p_instance
    -- As many as are said here: of an unknown number the planner would take ten, and then plan
    -- anew for each call.
    and n.id = any (array[p_nodes[1], p_nodes[2], p_nodes[3], p_nodes[4]])
    and n.stopped_through < p_generation
    and (n.generation < p_generation
         or n.generation = p_generation and n.status in ('pending', 'running'))
    and exists (
      select from df.instances i
      where i.id = p_instance
        and (p_ends or i.worker = p_worker)
        and (i.submitted_by = quote_ident(session_user)::regrole or df._called_by_worker()));
  get diagnostics v_recorded = row_count;
  if v_recorded = 0 or v_recorded is distinct from cardinality(p_nodes) then
    perform df._refuse_checkpoint(p_instance, p_nodes[1]);
  end if;
end $$;

-- A checkpoint is not recorded as it should be: raise, unless the step has cancelled its own instance.
-- Then the cancellation commits with what else it did.
create or replace function df._refuse_checkpoint(p_instance text, p_node text) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  perform from df.instances i
  where i.id = p_instance
    and i.status = 'cancelled'
    and df._is_of_this_transaction(i.xmin);
  if not found then
    raise exception using
      errcode = 'WF002',
      message = 'the claim on this instance is gone',
      detail = format('Instance %s, node %s.', p_instance, p_node),
      hint = 'Another worker took it over, or it was cancelled; nothing was committed.';
  end if;
end $$;

-- Whether the transaction that wrote a visible row is this one, or a subtransaction of it: nobody
-- else's is still in progress.
create or replace function df._is_of_this_transaction(p_xmin xid) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_top bigint := pg_current_xact_id_if_assigned()::text::bigint;
  -- Subtransactions begin after it, so their 32 bits count on from its own.
  v_ahead bigint := (p_xmin::text::bigint - v_top) & 4294967295;
begin
  return v_ahead < 2147483648
    and coalesce(pg_xact_status((v_top + v_ahead)::text::xid8) = 'in progress', false);
exception when invalid_parameter_value then      -- a number not used yet
  return false;
end $$;

revoke execute on function df._refuse_checkpoint(text, text) from public;
