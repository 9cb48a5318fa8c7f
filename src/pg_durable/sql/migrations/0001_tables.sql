-- The tables: the only state there is. Public columns first, as documented; the
-- engine's own columns after them. Only df._… functions write here.

create schema df;

-- What a column may hold is checked by its domain: only for values that are assigned, and with
-- the parsed check cached. PostgreSQL parses a table's CHECKs anew for each statement; on these
-- tables that took half the time of a start. Foreign keys are left out for the same reason: no
-- user can write here, and df._start_instance writes a graph as a whole.
create domain df.instance_id as varchar(8)
  constraint instances_id_format_chk check (value ~ '^[0-9a-f]{8}$');
create domain df.node_id as varchar(8)
  constraint nodes_id_format_chk check (value ~ '^[0-9a-f]{8}$');
create domain df.instance_status as text
  constraint instances_status_chk
  check (value in ('pending', 'running', 'completed', 'failed', 'cancelled'));
create domain df.node_status as text
  constraint nodes_status_chk check (value in ('pending', 'running', 'completed', 'failed'));
create domain df.node_type as text
  constraint nodes_node_type_chk check (value in (
    'SQL', 'THEN', 'IF', 'JOIN', 'LOOP', 'BREAK', 'RACE', 'SLEEP', 'WAIT_SCHEDULE',
    'HTTP', 'HTTP_MULTIPART', 'SIGNAL'));
create domain df.result_name as text
  constraint nodes_result_name_chk check (value ~ '^[A-Za-z_][A-Za-z0-9_]*$');

-- One row per started workflow. fillfactor leaves room for the updates of its life.
create table df.instances (
  id           df.instance_id     not null,
  label        text,
  root_node    df.node_id         not null,
  status       df.instance_status default 'pending',
  submitted_by regrole            not null,
  database     text,
  created_at   timestamptz        default now(),
  updated_at   timestamptz        default now(),
  completed_at timestamptz,

  due_at       timestamptz,                     -- when a worker must next look; null while claimed or finished
  worker       bigint,                          -- the worker that claimed it (df._worker_epoch.worker)
  executions   bigint             not null default 1,
  attempts     int                not null default 0,  -- times in a row it was given back because of an outage
  vars         json,                            -- snapshot of the role's variables at the start
  output       text,                            -- error text or reason, when failed or cancelled

  constraint instances_pkey primary key (id)
) with (fillfactor = 70);

-- The queue, the timer wheel and the retry list at once.
create index instances_due_idx on df.instances (due_at) where due_at is not null;
-- What a worker holds, for taking it over.
create index instances_worker_idx on df.instances (worker) where worker is not null;
create index idx_instances_status on df.instances (status, created_at desc, id);
create index idx_instances_created_at on df.instances (created_at desc, id);
create index idx_instances_label on df.instances (label, created_at desc, id) where label is not null;

-- One row per node of a graph. No column that changes is indexed, so every update is HOT.
create table df.nodes (
  id             df.node_id     not null,
  instance_id    df.instance_id not null,
  node_type      df.node_type   not null,
  query          text,
  result_name    df.result_name,
  left_node      df.node_id,
  right_node     df.node_id,
  status         df.node_status default 'pending',
  result         json,                      -- json, not jsonb: column order is kept
  error          text,
  submitted_by   regrole        not null,
  database       text,
  created_at     timestamptz    default now(),
  updated_at     timestamptz    default now(),
  status_details jsonb,

  generation     int            not null default 1,      -- counts the iterations of the loop around it
  due_at         timestamptz,                            -- when its wait ends
  stopped        boolean        not null default false,  -- cancelled, or lost a race: may never finish

  constraint nodes_pkey primary key (instance_id, id)
) with (fillfactor = 70);

-- Variables, one name space per role.
create table df.vars (
  name  text    not null,
  value text,
  owner regrole not null default (quote_ident(current_user)::regrole),
  primary key (owner, name)
);

-- One row per living worker; last_seen_at is its heartbeat.
create table df._worker_epoch (
  epoch_id     uuid        primary key default gen_random_uuid(),
  started_at   timestamptz default now(),
  last_seen_at timestamptz default now(),
  worker       bigint      generated always as identity unique,
  name         text
) with (fillfactor = 50);

-- What is installed: one row.
create table df._schema (
  sentinel   boolean     primary key default true check (sentinel),
  migration  int         not null,
  version    text        not null,
  updated_at timestamptz not null default now()
);

alter table df.instances enable row level security;
alter table df.nodes enable row level security;
alter table df.vars enable row level security;

create policy instances_user_isolation on df.instances
  using (submitted_by = (quote_ident(current_user)::regrole))
  with check (submitted_by = (quote_ident(current_user)::regrole));
create policy nodes_user_isolation on df.nodes
  using (submitted_by = (quote_ident(current_user)::regrole))
  with check (submitted_by = (quote_ident(current_user)::regrole));
create policy vars_user_isolation on df.vars
  using (owner = (quote_ident(current_user)::regrole))
  with check (owner = (quote_ident(current_user)::regrole));
