\pset format unaligned
\pset tuples_only on
\set SHOW_CONTEXT never

-- Where they are: in pg_catalog, so that every search_path finds them.
select oprnamespace::regnamespace, oprname, oprcode
from pg_operator
where oprcode::oid in (select oid from pg_proc where pronamespace = 'df'::regnamespace)
order by oprname collate "C";

-- PostgreSQL gives all of them one precedence and joins them from the left.
select written, case when got = expected then 'as expected' else got end
from (values
  ('a ~> b ~> c',
   'a' ~> 'b' ~> 'c',
   df.seq(df.seq('a', 'b'), 'c')),
  ('a ~> b |=> x ~> c',
   'a' ~> 'b' |=> 'x' ~> 'c',
   df.seq(df.as(df.seq('a', 'b'), 'x'), 'c')),
  ('a |=> x ~> b |=> y',
   'a' |=> 'x' ~> 'b' |=> 'y',
   df.as(df.seq(df.as('a', 'x'), 'b'), 'y')),
  ('a & b |=> j',
   'a' & 'b' |=> 'j',
   df.as(df.join('a', 'b'), 'j')),
  ('a & b & c',
   'a' & 'b' & 'c',
   df.join(df.join('a', 'b'), 'c')),
  ('a & b ~> c & d',
   'a' & 'b' ~> 'c' & 'd',
   df.join(df.seq(df.join('a', 'b'), 'c'), 'd')),
  ('a | b ~> c',
   'a' | 'b' ~> 'c',
   df.seq(df.race('a', 'b'), 'c')),
  ('a ~> b | c',
   'a' ~> 'b' | 'c',
   df.race(df.seq('a', 'b'), 'c')),
  ('a ?> b !> c',
   'a' ?> 'b' !> 'c',
   df.if('a', 'b', 'c')),
  ('a ?> b !> c ~> d',
   'a' ?> 'b' !> 'c' ~> 'd',
   df.seq(df.if('a', 'b', 'c'), 'd')),
  ('a ~> q ?> b !> c',
   'a' ~> 'q' ?> 'b' !> 'c',
   df.if(df.seq('a', 'q'), 'b', 'c')),
  ('a ?> (b ~> c) !> (d ~> e)',
   'a' ?> ('b' ~> 'c') !> ('d' ~> 'e'),
   df.if('a', df.seq('b', 'c'), df.seq('d', 'e'))),
  ('a || x ~> b || y',
   'a' || 'x' ~> 'b' || 'y',
   (('a' || 'x') ~> 'b') || 'y')
) as t (written, got, expected);
select 'a' ~> 'b' = 'c';

-- Other types keep their own meaning of &.
select 6 & 3, b'110' & b'011';

-- Half an if keeps its operands as the texts they are.
select 'a' ?> 'b';
select df.sleep(1) ?> null;
select df.if_else_op('{"_partial_if":true,"condition":{"node_type":"SQL","query":"a"},"then_branch":"b"}', 'c');

-- A null anywhere makes the if null.
select count(x)
from unnest(array[null ?> 'a' !> 'b', 'c' ?> null !> 'b', 'c' ?> 'a' !> null, null ~> 'a', 'a' |=> null]) x;

-- What !> needs on its left.
select 'a' ?> 'b' ~> 'c' !> 'd';
\echo :LAST_ERROR_SQLSTATE
select df.seq('a', 'b') !> 'c';
\echo :LAST_ERROR_SQLSTATE
select null !> 'c';
\echo :LAST_ERROR_SQLSTATE
\set VERBOSITY terse
select 'SELECT 1' !> 'c';
\echo :LAST_ERROR_SQLSTATE
