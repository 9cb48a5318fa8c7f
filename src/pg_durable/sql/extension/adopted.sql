-- The rights of roles were given back when the extension was created.
drop function df._give_back() cascade;
