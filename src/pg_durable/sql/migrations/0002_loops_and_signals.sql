-- Loops: a node's row belongs to one iteration of the loop around it (its generation), and a
-- LOOP's row says how far it has come. Signals: rows until a wait takes them.

-- Those whose parameters or results change; each is created anew with the functions.
drop function if exists df._claim(bigint, int);
drop function if exists df._results(text);
drop function if exists df._show_running(text, text[]);
drop function if exists df._inferred(text);
drop function if exists df._children(text, text, text, text);
drop function if exists df._depths(text);
drop function if exists df.instance_info(text);

-- Generations up to this one may never finish: they lost a race, or (all of them) were cancelled.
-- A flag would not do: the next iteration of a loop runs the same rows again.
alter table df.nodes add column stopped_through int not null default 0;
update df.nodes set stopped_through = 2147483647 where stopped;
alter table df.nodes drop column stopped;

-- Of a LOOP; they hold while entered_in is the row's own generation.
alter table df.nodes
  add column entered_in int,       -- the generation of the loop's own row in which it was entered
  add column first_iteration int,  -- the number of the first iteration since then
  add column iteration int,        -- of the one under way; never used twice in an instance's life
  add column names json;           -- {"results": {name: result}, "columns": {name: [column]}}

-- The iteration of the root loop says it.
alter table df.instances drop column executions;

-- The last iterations of root loops. A ring: the row of an old one is used again.
create table df._executions (
  instance_id df.instance_id not null,
  slot        int            not null,    -- execution modulo the size of the ring
  execution   int            not null,    -- 1 and up
  ended_at    timestamptz    not null,
  events      bigint         not null,    -- nodes that ran
  primary key (instance_id, slot)
) with (fillfactor = 70);

alter table df._executions enable row level security;
-- Whoever sees the instance: row security of df.instances applies in here.
create policy executions_user_isolation on df._executions
  using (exists (select from df.instances i where i.id = instance_id));

-- Signals that no wait has taken yet, in the order in which they were sent.
create table df._signals (
  instance_id df.instance_id not null,
  name        text           not null,
  id          bigint         generated always as identity,
  data        json           not null,
  bytes       int            not null default 0,
  sent_at     timestamptz    not null default clock_timestamp(),
  primary key (instance_id, name, id)
);
