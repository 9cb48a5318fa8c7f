-- HTTP steps: secrets that they may carry.

-- Nobody may read this but the owner of df and the worker, who does so for the steps of a secret's
-- owner. The reference stands for the secret in the texts of workflows; whoever does not know it,
-- such as the author of a text that gets into one, cannot name the secret.
create table df._secrets (
  owner     regrole     not null,
  name      text        not null,
  value     text        not null,
  reference text        not null,
  set_at    timestamptz not null default clock_timestamp(),
  primary key (owner, name)
);
alter table df._secrets enable row level security;
