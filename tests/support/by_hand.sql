-- What a worker calls, in few words and with ids that can be told beforehand.

create schema by_hand;

-- What steps have done: one row for each commit of a statement.
create table by_hand.effects (instance text, step text, generation int);

-- Start a workflow; p_nodes names its nodes by what they run, the root last.
create function by_hand.start(p_workflow text, p_instance text default '00000001')
returns void
language plpgsql
as $$
declare
  v_id text := df.start(p_workflow);
begin
  create temporary table renamed on commit drop as
    select n.id as old,
           lpad(case
             when n.id = i.root_node and n.left_node is not null then 'f'
             else coalesce(substring(n.query from '^select ''(\w)'''), 'e')
           end, 8, '0') as new
    from df.nodes n
    join df.instances i on i.id = n.instance_id
    where n.instance_id = v_id;
  update df.nodes n
  set id = (select r.new from renamed r where r.old = n.id),
      left_node = (select r.new from renamed r where r.old = n.left_node),
      right_node = (select r.new from renamed r where r.old = n.right_node),
      instance_id = p_instance
  where n.instance_id = v_id;
  update df.instances i
  set id = p_instance,
      root_node = (select r.new from renamed r where r.old = i.root_node)
  where i.id = v_id;
end $$;
