\pset format unaligned
\pset tuples_only on
\set SHOW_CONTEXT never

-- What each builder returns.
select df.sql('SELECT 1');
select df.seq('SELECT 1', 'SELECT 2');
select df.as('SELECT 1', 'x');
select df.sleep(5);
select df.if('SELECT true', 'SELECT 1', 'SELECT 2');
select df.if_rows('x', 'SELECT 1', 'SELECT 2');
select df.join('SELECT 1', 'SELECT 2');
select df.join3('SELECT 1', 'SELECT 2', 'SELECT 3');

-- Texts are quoted as JSON; white space of a statement is kept.
select df.sql(E'SELECT "a\\b"\n, ''é''\t ');
select df.seq(' SELECT 1 ', '');
select df.if_rows('a "name"', 'x', 'y');

-- df.sql never looks into its argument; composers do.
select df.sql(df.sleep(1));
select df.seq(df.sleep(1), E' \n {"node_type" : "SLEEP", "query" : "2"} ');

-- Named twice: the last name wins. A composite can be named, too.
select df.as(df.as('SELECT 1', 'x'), 'y');
select df.as(df.seq('SELECT 1', 'SELECT 2'), 'both');

-- Rewritten: known fields in order, the rest dropped, null counts as absent, children verbatim.
select df.seq(
  '{"result_name":"r","note":1,"right_node":{"query":"2", "node_type":"SQL"},"left_node":{ "node_type":"SQL","query":"1","x":0 },"condition_node":null,"node_type":"THEN"}',
  'SELECT 3');

-- Not an envelope, so a statement: other JSON, broken JSON, an SQL array literal.
select df.as('{"a":1}', 'n');
select df.as('{"node_type":5}', 'n');
select df.as('{"node_type":"SQL"', 'n');
select df.as('{1,2}', 'n');
select df.as('[{"node_type":"SQL","query":"x"}]', 'n');
select df.as('"SQL"', 'n');

-- Deterministic, and the same whether written with functions or operators.
select df.seq(df.as('SELECT 1', 'x'), df.join('a', 'b')) = ('SELECT 1' |=> 'x' ~> ('a' & 'b'));

-- Strict: a null operand makes the whole null.
select count(x)
from unnest(array[
  df.sql(null), df.seq(null, 'a'), df.seq('a', null), df.as(null, 'x'), df.as('a', null),
  df.sleep(null), df.if(null, 'a', 'b'), df.if('a', null, 'b'), df.if('a', 'b', null),
  df.if_rows(null, 'a', 'b'), df.join('a', null), df.join3('a', 'b', null)]) x;

-- An envelope nested far deeper than any graph may be, or the parser's stack.
select length(df.as(repeat('{"node_type":"LOOP","left_node":', 300) || '{}' || repeat('}', 300), 'deep'));
select df.as(repeat('{"node_type":"LOOP","left_node":', 100000), 'deep');
