-- Workers end steps by df._end_step, and leave what they claim in the queue: those that do it
-- otherwise must not go on.
drop procedure if exists df._clean();
drop function if exists df._take_over(bigint, float8);

-- A claim changes no indexed column, and finds room for the new version on the same page.
drop index df.instances_worker_idx;
alter table df.instances set (fillfactor = 50);
