\pset format unaligned
\pset tuples_only on
\set SHOW_CONTEXT never

-- Where they are: in pg_catalog, so that every search_path finds them.
select oprnamespace::regnamespace, oprname, oprleft::regtype, oprright::regtype, oprresult::regtype, oprcode
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
  ('@> a ~> b',
   @> 'a' ~> 'b',
   df.seq(df.loop('a'), 'b')),
  ('@> (a ~> b)',
   @> ('a' ~> 'b'),
   df.loop(df.seq('a', 'b'))),
  ('@> a |=> x',
   @> 'a' |=> 'x',
   df.as(df.loop('a'), 'x')),
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

-- Other types keep their own meaning of &, | and @>.
select 6 & 3, b'110' & b'011', 6 | 1, inet '10.1.2.3' & inet '255.0.0.0', inet '10.0.0.0' | inet '0.0.0.7';
select array[1, 2] @> array[1], jsonb '{"a":1}' @> '{}', int4range(1, 9) @> 5;

-- The functions behind them.
select df.as_op('a', 'x') = df.as('a', 'x'), df.loop_prefix_op('a') = df.loop('a'),
       df.if_else_op(df.if_then_op('a', 'b'), 'c') = df.if('a', 'b', 'c');
-- Operands of a type like text need no cast; envelopes are texts.
select 'a'::varchar ~> 'b'::name = df.seq('a', 'b'), @> df.sleep(1) = df.loop(df.sleep(1));

-- Half an if keeps its operands as the texts they are.
select 'a' ?> 'b';
select df.sleep(1) ?> null;
select df.if_else_op('{"_partial_if":true,"condition":{"node_type":"SQL","query":"a"},"then_branch":"b"}', 'c');

-- A null anywhere makes the whole null.
select count(x)
from unnest(array[null ?> 'a' !> 'b', 'c' ?> null !> 'b', 'c' ?> 'a' !> null, null ~> 'a', 'a' |=> null,
  'a' & null, null | 'a', @> null]) x;

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
