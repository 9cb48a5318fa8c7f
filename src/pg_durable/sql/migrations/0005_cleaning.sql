-- Workers clean the sessions of steps by df._clean: those that call this one must not go on.
drop function if exists df._deallocate();
