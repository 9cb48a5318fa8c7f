-- df._end_step takes apart what the nodes of most steps have in common, and runs what is deferred.
drop procedure if exists df._end_step(text, bigint, text[], int[], text[], text[], text[], text, text);
