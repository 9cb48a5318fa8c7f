-- The tables: the only state there is. Public columns first, as documented; the
-- engine's own columns after them. Only df._… functions write here.

create schema df;

-- One row per started workflow. fillfactor leaves room for the updates of its life.
create table df.instances (
  id           varchar(8)  not null,
  label        text,
  root_node    varchar(8)  not null,
  status       text        default 'pending',
  submitted_by regrole     not null,
  database     text,
  created_at   timestamptz default now(),
  updated_at   timestamptz default now(),
  completed_at timestamptz,

  due_at       timestamptz,                 -- when a worker must next look; null while claimed or finished
  worker       bigint,                      -- the worker that claimed it (df._worker_epoch.worker)
  executions   bigint      not null default 1,
  attempts     int         not null default 0,  -- times in a row it was given back because of an outage
  vars         json,                        -- snapshot of the role's variables at the start
  output       text,                        -- error text or reason, when failed or cancelled

  constraint instances_pkey primary key (id),
  constraint instances_identity_key unique (id, submitted_by),
  constraint instances_id_format_chk check (id ~ '^[0-9a-f]{8}$'),
  constraint instances_root_node_format_chk check (root_node ~ '^[0-9a-f]{8}$'),
  constraint instances_status_chk
    check (status in ('pending', 'running', 'completed', 'failed', 'cancelled'))
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
  id             varchar(8)  not null,
  instance_id    varchar(8)  not null,
  node_type      text        not null,
  query          text,
  result_name    text,
  left_node      varchar(8),
  right_node     varchar(8),
  status         text        default 'pending',
  result         json,                      -- json, not jsonb: column order is kept
  error          text,
  submitted_by   regrole,
  database       text,
  created_at     timestamptz default now(),
  updated_at     timestamptz default now(),
  status_details jsonb,

  generation     int         not null default 1,      -- counts the iterations of the loop around it
  due_at         timestamptz,                         -- when its wait ends
  stopped        boolean     not null default false,  -- cancelled, or lost a race: may never finish

  constraint nodes_pkey primary key (instance_id, id),
  constraint nodes_instance_id_present_chk check (instance_id is not null),
  constraint nodes_submitted_by_present_chk check (submitted_by is not null),
  constraint nodes_id_format_chk check (id ~ '^[0-9a-f]{8}$'),
  constraint nodes_instance_id_format_chk check (instance_id ~ '^[0-9a-f]{8}$'),
  constraint nodes_left_node_format_chk check (left_node is null or left_node ~ '^[0-9a-f]{8}$'),
  constraint nodes_right_node_format_chk check (right_node is null or right_node ~ '^[0-9a-f]{8}$'),
  constraint nodes_node_type_chk check (node_type in (
    'SQL', 'THEN', 'IF', 'JOIN', 'LOOP', 'BREAK', 'RACE', 'SLEEP', 'WAIT_SCHEDULE',
    'HTTP', 'HTTP_MULTIPART', 'SIGNAL')),
  constraint nodes_result_name_chk
    check (result_name is null or result_name ~ '^[A-Za-z_][A-Za-z0-9_]*$'),
  constraint nodes_status_chk check (status in ('pending', 'running', 'completed', 'failed')),
  constraint nodes_result_status_chk
    check (result is null or status in ('completed', 'failed')),
  constraint nodes_structure_chk check (
    case
      when node_type in ('SQL', 'SLEEP', 'WAIT_SCHEDULE', 'BREAK', 'HTTP', 'HTTP_MULTIPART', 'SIGNAL')
        then left_node is null and right_node is null and query is not null
      when node_type in ('THEN', 'RACE')
        then left_node is not null and right_node is not null and query is null
      when node_type = 'IF'
        then left_node is not null and right_node is not null and query is not null
      when node_type = 'LOOP' then left_node is not null and right_node is null
      when node_type = 'JOIN' then left_node is not null and right_node is not null
    end),
  constraint nodes_instance_identity_fkey
    foreign key (instance_id, submitted_by) references df.instances (id, submitted_by)
    deferrable initially deferred,
  constraint nodes_left_node_same_instance_fkey
    foreign key (instance_id, left_node) references df.nodes (instance_id, id)
    deferrable initially deferred,
  constraint nodes_right_node_same_instance_fkey
    foreign key (instance_id, right_node) references df.nodes (instance_id, id)
    deferrable initially deferred
) with (fillfactor = 70);

alter table df.instances add constraint instances_root_node_same_instance_fkey
  foreign key (id, root_node) references df.nodes (instance_id, id)
  deferrable initially deferred;

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
