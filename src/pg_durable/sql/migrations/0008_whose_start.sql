-- An idle worker is told whose start it is, and claims of that role alone.
drop function if exists df._claim(bigint, int, json);
drop function if exists df._wake();
