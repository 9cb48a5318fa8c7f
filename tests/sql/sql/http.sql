\pset format unaligned
\pset tuples_only on
\set SHOW_CONTEXT never
set client_min_messages = warning;

-- What the builders make: compact, keys of headers and parts in order.
select df.http('https://example.com/');
select df.http('http://h/x?a={v}', 'get', '{"a": "$r.b"}', '{"X-B": "2", "X-A": "{v}"}', 5);
select df.http(' {url}', 'Delete') |=> 'gone';
select df.http_multipart('https://example.com/', 'put',
  '[{"name": "f", "filename": "$n.name", "content_type": "text/csv", "data_b64": "$n.body"},
    {"name": "t", "data": "text"}]', '{"A": "b"}', 7);
select df.http_options(df.http('https://h/', 'GET') |=> 'x', redirects => 3, idempotency_key => false);
select df.http_options(df.http_options(df.http('https://h/'), redirects => 3), 4, body_base64 => true);

-- What they refuse, in this order.
select df.http(null);
select df.http('https://h/', null);
select df.http('https://h/', timeout_seconds => null);
select df.http('localhost', 'x', timeout_seconds => 0);
select df.http('FTP://h/');
select df.http('$x.url');
select df.http('https://h/', 'head', timeout_seconds => 0);
select df.http('https://h/', timeout_seconds => 0);
select df.http_multipart('https://h/', 'get', timeout_seconds => 0);
select df.http_multipart('https://h/', timeout_seconds => -1);
select df.http_multipart('https://h/');
select df.http_multipart('https://h/', parts => '{}');
select df.http_multipart('https://h/', parts => '[]');
select df.http_multipart('https://h/', parts => '[7]');
select df.http_multipart('https://h/', parts => '[{"data_b64": ""}]');
select df.http_multipart('https://h/', parts => '[{"name": "a"}]');
select df.http_multipart('https://h/', parts => '[{"name": "a", "data_b64": 7}]');
select df.http_multipart('https://h/', parts => '[{"name": "a", "data_b64": "", "data": ""}]');
select df.http(E'https://h/\r\nHost: x');
select df.http_options('select 1');
select df.http_options(df.sleep(1));
select df.http_options(null);
select df.http_options('{"node_type":"HTTP","query":"[]"}', 1);
select df.http_options('{"node_type":"HTTP"}', 1);
select df.http_options(df.http('https://h/'), redirects => 21);
select df.http_options(df.http_multipart('https://h/', parts => '[{"name": "a", "data": ""}]'), body_base64 => true);

-- Headers.
create function refused(headers jsonb) returns text language plpgsql as $$
begin
  return df.http('https://h/', headers => headers);
exception when others then
  return sqlstate || ' ' || sqlerrm;
end $$;
select refused(h::jsonb) from unnest(array[
  '[]', '"x"', '{"A": 7}', '{"A": null}', '{"A B": "x"}', '{"": "x"}', '{"A:": "x"}', '{"Ä": "x"}',
  '{"A": "x\r\nB: y"}', '{"A": "x\ny"}', '{"A": "é"}', '{"A\n": "x"}', '{"X": "1", "x": "2"}',
  '{"Host": "x"}', '{"content-length": "1"}', '{"Transfer-Encoding": "chunked"}',
  '{"connection": "close"}', '{"Keep-Alive": "1"}', '{"Upgrade": "h2c"}', '{"TE": "trailers"}',
  '{"Trailer": "A"}', '{"Proxy-Authorization": "x"}', '{"Proxy-Connection": "x"}', '{"Expect": "100-continue"}']) h;
select refused('null') = df.http('https://h/') and refused('{"A": "a\tb !~"}') like '{"node_type":"HTTP"%';

-- The policy, where the session knows it and the url is known.
create function policy(rules text, url text) returns text language plpgsql as $$
begin
  perform set_config('pg_durable.http_policy', rules, true);
  perform df.http(url);
  return 'ok';
exception when others then
  return sqlstate || ' ' || sqlerrm;
end $$;
select format('%-28s %-34s ', p, u) || policy(p, u) from (values
  ('', 'http://10.0.0.1/'), ('none', 'https://h/'), ('none', 'https://{h}/'), ('none', 'https://h/$x'),
  ('public', 'https://h/'), ('public', 'http://8.8.8.8/'), ('public', 'http://127.0.0.1:80/'),
  ('public', 'http://169.254.169.254/'), ('public', 'http://[::1]/'), ('public', 'http://[fd00::1]:8/'),
  ('public', 'http:///x'), ('public', 'http://999.1.1.1/'), ('public, 10.0.0.0/8', 'http://10.0.0.1/'),
  ('a.b *.c.d', 'https://A.b:8443/x'), ('a.b *.c.d', 'https://x.c.d'), ('a.b *.c.d', 'https://c.d?x'),
  ('a.b:8443', 'https://a.b/'), ('a.b', 'https://a.b@evil.org/'), ('a.b', 'https://8.8.8.8/')) x (p, u);

-- An envelope written by hand is held to the same.
create function started(query text, type text default 'HTTP') returns text language plpgsql as $$
begin
  perform df.start(format('{"node_type":"%s","query":%s}', type, to_json(query)));
  return 'started';
exception when others then
  return sqlstate || ' ' || sqlerrm;
end $$;
select started(q) from unnest(array[
  'x', '[]', '7', '{}', '{"url":7,"method":"GET"}', '{"url":"http://h/"}', '{"url":"http://h/","method":7}',
  '{"url":"http://h/","method":"HEAD"}', '{"url":"http://h/","method":"GET","body":{}}',
  '{"url":"http://h/","method":"GET","timeout_seconds":0}', '{"url":"http://h/","method":"GET","timeout_seconds":"5"}',
  '{"url":"http://h/","method":"GET","redirects":99}', '{"url":"http://h/","method":"GET","idempotency_key":1}',
  '{"url":"http://h/","method":"GET","headers":{"Host":"x"}}', '{"url":"http://h/","method":"get"}']) q;
select started(q, 'HTTP_MULTIPART') from unnest(array[
  '{}', '{"url":"http://h/","method":"GET","parts":[{"name":"a","data":""}]}', '{"url":"http://h/","method":"PUT"}',
  '{"url":"http://h/","method":"PUT","parts":[{"name":"a"}]}', '{"url":"http://h/","method":"PUT","parts":[{"name":"a","data":""}]}']) q;

-- Only those may use them to whom they are given.
create role regress_http nologin;
select df.grant_usage('regress_http');
set role regress_http;
select df.http('https://h/');
select df.http_multipart('https://h/');
select df.http_options('{"node_type":"HTTP","query":"{}"}', 1);
reset role;
select df.grant_usage('regress_http', include_http => true);
set role regress_http;
select df.http('https://h/', 'GET');
reset role;

-- Secrets: each role its own, and nobody sees a value.
set role regress_http;
select df.set_secret('token', 'of regress_http');
select df.set_secret('a.b-c', 'x'), df.list_secrets() is not null;
select df.set_secret('token', null);
select df.set_secret('no name', 'x');
select df.set_secret('', 'x');
select df.set_secret('big', repeat('x', 65537));
select name, set_at <= now() from df.list_secrets();
select regexp_replace(df.secret('token'), '[0-9a-f]{16}', 'reference');
select df.secret('token') = df.secret('token'), df.secret('nothing');
select df.secret('nothing');
select df.secret(null) is null;
select * from df._secrets;
select * from df._permit(1, 'x', 'df.version()', '[]');
insert into df._secret (name, value, caller) values ('x', 'y', 'postgres');
select df.drop_secret('a.b-c'), df.drop_secret('was_never_there');
select name from df.list_secrets();
reset role;
select df.set_secret('token', 'of the superuser') ~> 'select 1';
select df.set_secret('token', 'of the superuser');
select s.owner, s.name, s.value from df._secrets s order by 1, 2;
select df.secret('token') like '{{secret:token:%' and df.drop_secret('token') = 'OK';
select count(*) from df.list_secrets();

-- The tree shows which secret, and not what makes the reference valid.
set role regress_http;
select rtrim(df.explain(df.http('https://h/?key=' || df.secret('token'), 'GET')));
select df.secret('token') as before \gset
select df.set_secret('token', 'new'), df.secret('token') = :'before' as the_reference_stays;
select df.drop_secret('token');
select df.set_secret('token', 'new');
select df.secret('token') = :'before' as the_reference_stays;
reset role;

drop owned by regress_http;
delete from df._secrets;
drop role regress_http;
drop function refused, policy, started;
