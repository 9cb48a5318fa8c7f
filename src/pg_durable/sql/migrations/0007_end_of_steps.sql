-- df._end_step takes the one node of most steps apart, and runs what they have deferred.
drop procedure if exists df._end_step(text, bigint, text[], int[], text[], text[], text[], text, text);
