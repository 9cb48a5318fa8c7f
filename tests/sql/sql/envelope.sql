\pset format unaligned
\pset tuples_only on
\set SHOW_CONTEXT never

-- What can be called; what is strict returns null when any argument is null.
select p.proname, pg_get_function_arguments(p.oid),
       case when p.proisstrict then 'strict' else 'not strict' end
from pg_proc p
where p.pronamespace = 'df'::regnamespace
  and p.proname in ('sql', 'seq', 'as', 'sleep', 'sleep_until', 'wait_for_schedule', 'wait_for_signal',
                    'loop', 'break', 'if', 'if_rows', 'join', 'join3', 'race')
order by p.proname collate "C", pg_get_function_arguments(p.oid) collate "C";

-- What each builder returns.
select df.sql('SELECT 1');
select df.seq('SELECT 1', 'SELECT 2');
select df.as('SELECT 1', 'x');
select df.sleep(5);
select df.wait_for_schedule('*/5 * * * *');
select df.wait_for_schedule('*/5 * * * *', 'Europe/Zurich');
select df.loop('SELECT 1');
select df.loop('SELECT 1', 'SELECT true');
select df.loop('SELECT 1', null) = df.loop('SELECT 1');
select df.break();
select df.break('v');
select df.if('SELECT true', 'SELECT 1', 'SELECT 2');
select df.if_rows('x', 'SELECT 1', 'SELECT 2');
select df.join('SELECT 1', 'SELECT 2');
select df.join3('SELECT 1', 'SELECT 2', 'SELECT 3');
select df.race('SELECT 1', 'SELECT 2');
select df.wait_for_signal('s', 60);
select df.wait_for_signal('s');

-- Any number of branches. A race of more than two is one of races.
select df.join('a', 'b', 'c') = df.join3('a', 'b', 'c');
select df.join('a', df.sleep(1), 'c', 'd' ~> 'e');
select df.join(variadic array['a', 'b']) = df.join('a', 'b');
select df.race('a', 'b', 'c') = df.race(df.race('a', 'b'), 'c');
select df.race('a', 'b', 'c', 'd', 'e')
     = df.race(df.race(df.race('a', 'b'), df.race('c', 'd')), 'e');
select df.race(variadic array['a', 'b']) = df.race('a', 'b');

-- Durations: whole seconds of any integer type, an interval, or a text that is either.
select df.sleep(5::smallint), df.sleep(5::bigint), df.sleep('5'), df.sleep(' +5 '), df.sleep('0');
select df.sleep('250 ms'), df.sleep('0.000001'), df.sleep('1:30'), df.sleep('PT1.5S'), df.sleep('90'::text);
select df.sleep(interval '1 day'), df.sleep(interval '1.50 s'), df.sleep(interval '0'), df.sleep(interval '1 month');
prepare sleeping (text) as select df.sleep($1);
execute sleeping('7');
-- Until an instant: in UTC, whatever the session's settings.
set timezone = 'Asia/Kathmandu';
set datestyle = 'German';
select df.sleep_until('2026-12-01 00:00:00+00');
select df.sleep_until('2026-12-01 00:00:00.25'), df.sleep_until('0001-01-01 00:00:00+00');
reset timezone;
reset datestyle;

-- Texts are quoted as JSON; white space of a statement is kept.
select df.sql(E'SELECT "a\\b"\n, ''é''\t ');
select df.seq(' SELECT 1 ', '');
select df.if_rows('a "name"', 'x', 'y');
select df.break(E'a "b"\\c\n'), df.break('');
select df.wait_for_signal('a "name"');

-- df.sql and df.break never look into their argument; composers do.
select df.sql(df.sleep(1));
select df.break(df.sleep(1));
select df.seq(df.sleep(1), E' \n {"node_type" : "SLEEP", "query" : "2"} ');

-- Named twice: the last name wins. A composite can be named, too.
select df.as(df.as('SELECT 1', 'x'), 'y');
select df.as(df.seq('SELECT 1', 'SELECT 2'), 'both');
-- So can what has no use for a name.
select df.as(df.break('v'), 'x');

-- Rewritten: known fields in order, the rest dropped, null counts as absent, children verbatim.
select df.seq(
  '{"result_name":"r","note":1,"right_node":{"query":"2", "node_type":"SQL"},"left_node":{ "node_type":"SQL","query":"1","x":0 },"condition_node":null,"node_type":"THEN"}',
  'SELECT 3');

-- Not an envelope, so a statement: other JSON, broken JSON, an SQL array literal.
select df.as('', 'n');
select df.as('{"a":1}', 'n');
select df.as('{"node_type":5}', 'n');
select df.as('{"node_type":"SQL"', 'n');
select df.as('{1,2}', 'n');
select df.as('[{"node_type":"SQL","query":"x"}]', 'n');
select df.as('"SQL"', 'n');

-- Deterministic, and the same whether written with functions or operators.
select df.seq(df.as('SELECT 1', 'x'), df.join('a', 'b')) = ('SELECT 1' |=> 'x' ~> ('a' & 'b'));
-- … and may be started as often as one likes.
select count(distinct df.start(graph)) from (select df.seq('SELECT 1', 'SELECT 2') from generate_series(1, 2)) as g (graph);

-- Strict: a null operand makes the whole null.
select count(x)
from unnest(array[
  df.sql(null), df.seq(null, 'a'), df.seq('a', null), df.as(null, 'x'), df.as('a', null),
  df.sleep(null), df.sleep(null::bigint), df.sleep(null::interval), df.sleep_until(null),
  df.wait_for_schedule(null), df.wait_for_schedule(null, 'UTC'), df.wait_for_schedule('@daily', null),
  df.race(null, 'b'), df.race('a', 'b', null), df.join('a', null, 'c'), df.join(variadic null),
  df.if(null, 'a', 'b'), df.if('a', null, 'b'), df.if('a', 'b', null),
  df.if_rows(null, 'a', 'b'), df.join('a', null), df.join3('a', 'b', null)]) x;

-- An envelope nested far deeper than any graph may be, or the parser's stack.
select length(df.as(repeat('{"node_type":"LOOP","left_node":', 300) || '{}' || repeat('}', 300), 'deep'));
select df.as(repeat('{"node_type":"LOOP","left_node":', 100000), 'deep');
