\pset format unaligned
\pset tuples_only on
\set SHOW_CONTEXT never
set client_min_messages = warning;

-- Why something is no schedule; nothing if it is one.
create function refused(p_cron text) returns text language plpgsql as $$
declare hint text;
begin
  perform df.wait_for_schedule(p_cron);
  return '';
exception when sqlstate 'WF001' then
  get stacked diagnostics hint = pg_exception_hint;
  return hint;
end $$;
-- Whether df.start takes a node written by hand.
create function started(p_type text, p_query text) returns text language plpgsql as $$
begin
  perform df.start(format('{"node_type":%s,"query":%s}', to_json(p_type), to_json(p_query)));
  return 'accepted';
exception when others then
  return sqlstate || ' ' || sqlerrm;
end $$;

-- Expressions are kept as they are written.
select df.wait_for_schedule('0  2 * * MON-fri');
select df.wait_for_schedule(E'\t@Daily ');
select df.wait_for_schedule('0 2 * * *', 'UTC');
select df.wait_for_schedule(cron_expr => '0 2 * * *', time_zone => 'America/Argentina/Buenos_Aires');

-- Everything a field may hold.
select cron, refused(cron)
from unnest(array[
  '* * * * *', '0 2 * * *', '*/15 9-17 * * mon-fri', '0,30 0,12 1,15 1-6/2,12 0', '05/10 007 * * *',
  '0 0 31 12 7', '59 23 1 1 0', '0 0 ? * ?', '0 0 ?/2 jan mon', '0 0 1 January,feb,DECEMBER *',
  '0 0 * * sun,mon,tue,wed,thu,fri,sat', '0 0 * * tues,thur,thurs', '0 0 * * sunday-saturday',
  '0 0 * * fri-sun', '0 0 * * sat-7', '0 0 * * mon-fri/2', '0 0 * jan-dec/3 *', '*/1000 * * * *',
  '0 0 29 2 *', '0 0 31 2,3 *', '0 0 30 2 mon', '0 0 1 1 * 1970', '0 0 1 1 * 2030-2100/10', '0 0 1 1 * *',
  '@yearly', '@annually', '@monthly', '@weekly', '@daily', '@midnight', '@HOURLY']) cron;

-- Everything else, and what is wrong with it.
select cron, refused(cron)
from unnest(array[
  '', '*', '* * * *', '* * * * * * *', '0 0 0 1 1 ? 2030', '@reboot', '@daily *',
  '60 * * * *', '* 24 * * *', '* * 0 * *', '* * 32 * *', '* * * 0 *', '* * * 13 *', '* * * * 8',
  '* * * * * 1969', '* * * * * 2101', '-1 * * * *', '1.5 * * * *', '4000000000 * * * *',
  '30-10 * * * *', '* * * * fri-mon', '* * * * 5-0', '* * * dec-jan *', '1-2-3 * * * *', '1,,2 * * * *',
  '*/0 * * * *', '*/ * * * *', '*/x * * * *', '* * * * mon/2', '? * * * *', '* * * ? *', '* * * * * ?',
  '* * L * *', '* * 15W * *', '* * * * 5L', '* * * * 5#2', 'jan * * * *', '* * * sept *', '* * * * july',
  '0 0 30 2 *', '0 0 31 feb,apr *', '0 0 29 2 * 2027', '0 0 29 2 */7 2096', E'*\n* * * *', '* * * * ſun']) cron;
select df.wait_for_schedule('every day');
\echo :LAST_ERROR_SQLSTATE

-- Time zones are those of the IANA database, as they are written there.
select df.wait_for_schedule('@daily', 'Mars/Olympus');
\echo :LAST_ERROR_SQLSTATE
select df.wait_for_schedule('@daily', 'europe/zurich');
select zone, df._zone_problem(zone)
from unnest(array['UTC', 'Etc/GMT+5', 'EST5EDT', 'utc', 'America/New_york', '', 'Europe', 'Z', 'CEST', 'FOO+3',
                  'CET-1CEST', '+5', 'INTERVAL ''5 hours''', 'posix/UTC', 'right/UTC', 'localtime', 'Factory']) zone;
-- The caller's time zone is left alone.
set timezone = 'Asia/Kathmandu';
select df._zone_problem('Europe/Zurich') is null, current_setting('timezone');
reset timezone;
select df.wait_for_schedule('daily', 'Mars/Olympus');

-- Whatever builders make can be started.
select df.start(df.wait_for_schedule('@daily', 'Asia/Kathmandu') |=> 's' ~> df.wait_for_schedule('0 2 * * 1')
                ~> df.sleep('250 ms') ~> df.sleep_until('2026-12-01 12:34:56.789+00') ~> df.sleep(9223372036854775807)
                ~> df.wait_for_signal(repeat('é', 1000), 2147483647) ~> df.wait_for_signal('s')) as id \gset
select n.query, n.result_name
from df.nodes n
where n.instance_id = :'id' and n.node_type like any (array['WAIT%', 'SLEEP'])
order by n.query;

-- What is written by hand is checked when it is started.
select query, started('WAIT_SCHEDULE', query)
from unnest(array[
  '{"cron_expr":"@daily"}', '{"cron_expr":"@daily","time_zone":null}', '{"cron_expr":"@daily","time_zone":"UTC","more":1}',
  'oops', '[]', '{}', '{"cron_expr":null}', '{"cron_expr":5}', '{"cron_expr":"@daily","time_zone":5}',
  '{"cron_expr":"@reboot"}', '{"cron_expr":"\u0000"}', '{"cron_expr":"@daily","time_zone":"utc"}']) query;
select query, started('SLEEP', query)
from unnest(array[
  '0', '5', '0.25', '9223372036854775807', '{"until":"2026-12-01T00:00:00+00:00"}', '{"until":"2024-02-29T23:59:59.123456-11:30"}',
  '{"until":"2026-12-01T00:00:00Z"}',
  '', '-1', '+1', '1.', '.5', '1e3', '0.0000001', '5 seconds', 'oops', '{}', '{"until":null}', '{"until":"infinity"}',
  '{"until":"2026-12-01"}', '{"until":"2026-12-01T00:00:00"}', '{"until":"2026-02-30T00:00:00Z"}', '{"until":"2026-12-01T24:00:00Z"}',
  '{"until":"0000-12-01T00:00:00Z"}', '["2026-12-01T00:00:00Z"]']) query;
select query, started('SIGNAL', query)
from unnest(array[
  '{"signal_name":"s"}', '{"signal_name":"s","timeout_seconds":null}', '{"timeout_seconds":1,"signal_name":"é"}',
  'oops', '{}', '{"signal_name":null}', '{"signal_name":""}', '{"signal_name":5}', '{"signal_name":"s","timeout_seconds":0}',
  '{"signal_name":"s","timeout_seconds":-1}', '{"signal_name":"s","timeout_seconds":1.5}', '{"signal_name":"s","timeout_seconds":1e2}',
  '{"signal_name":"s","timeout_seconds":"5"}', '{"signal_name":"s","timeout_seconds":2147483648}',
  '{"signal_name":"s","timeout_seconds":[]}']) query;
select started('SIGNAL', json_build_object('signal_name', repeat('é', 1001))::text);
select df.start('a' ~> '{"node_type":"SIGNAL","query":"{}"}');
\echo :LAST_ERROR_SQLSTATE
select df.start('{"node_type":"WAIT_SCHEDULE"}');
\echo :LAST_ERROR_SQLSTATE
select df.start('{"node_type":"HTTP","query":"{}"}');
drop function refused, started;
