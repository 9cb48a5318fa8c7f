-- Many roles: the queue has a part for each of them, so that none waits for another's to end.

drop function if exists df._claim(bigint, int);
drop function if exists df._until_next_due();

drop index df.instances_due_idx;
create index instances_due_idx on df.instances (submitted_by, due_at) where due_at is not null;

-- It is limited in its work now.
drop function if exists df._sweep();
