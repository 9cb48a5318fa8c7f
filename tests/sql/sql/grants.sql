\pset format unaligned
\pset tuples_only on
\set SHOW_CONTEXT never
create role regress_grants login;
create role "Regress Delegate" login;

-- What a grant gives: the rights on everything in df that are not PUBLIC's or the owner's.
create view rights as
select a.grantee::regrole::text collate "C" as member, o.name collate "C",
       string_agg(lower(a.privilege_type) || case when a.is_grantable then '*' else '' end,
                  ', ' order by a.privilege_type) as rights
from (
  select 'df'::text, nspacl from pg_namespace where nspname = 'df'
  union all
  select relname, relacl from pg_class where relnamespace = 'df'::regnamespace
  union all
  select c.relname || '.' || attname, attacl from pg_attribute join pg_class c on c.oid = attrelid where relnamespace = 'df'::regnamespace
  union all
  select proname, proacl from pg_proc where pronamespace = 'df'::regnamespace
) o (name, acl)
cross join lateral aclexplode(o.acl) a
where a.grantee <> 0 and a.grantee <> (select nspowner from pg_namespace where nspname = 'df')
group by 1, 2
order by 1, 2;

select df.grant_usage('regress_grants');
select * from rights;
set role regress_grants;
select df.start('SELECT 1') is not null;
select count(*) from df.waiting_for();
select df.metrics() is not null;
select df.grant_usage('Regress Delegate');
\echo :LAST_ERROR_SQLSTATE
reset role;
select df.revoke_usage('regress_grants');
select * from rights;

-- A delegate passes on what it was given; taking it back takes all of that back.
select df.grant_usage('Regress Delegate', with_grant => true);
select * from rights;
set role "Regress Delegate";
select total_instances from df.metrics();
select df.grant_usage('regress_grants');
reset role;
select * from rights where member = 'regress_grants';
select df.revoke_usage('Regress Delegate');
select * from rights;

-- The functions that send requests are for those to whom they are given by name.
select df.grant_usage('regress_grants', include_http => true);
select name from rights where rights like '%execute%';
select df.revoke_usage('regress_grants');

-- Names: as they are, PUBLIC, unknown.
select df.grant_usage('public');
select has_schema_privilege('regress_grants', 'df', 'usage');
select df.grant_usage('public', with_grant => true);
select df.revoke_usage('public');
select has_schema_privilege('regress_grants', 'df', 'usage');
select df.grant_usage('no such role');
\echo :LAST_ERROR_SQLSTATE
select df.revoke_usage('REGRESS_GRANTS');
\echo :LAST_ERROR_SQLSTATE

drop view rights;
drop owned by regress_grants, "Regress Delegate";
drop role regress_grants, "Regress Delegate";
