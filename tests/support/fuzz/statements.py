"""SQL texts that steps may come to be, and what sets them apart."""

# Statements that are odd in one way each.
ODD = (
    *("", " ", ";", ";;", "--", "-- only a comment", "/* only */", "/* not closed", "/* /* */"),
    *("select 'not closed", 'select "not closed', "select $$not closed", "select $a$ x $b$"),
    *("select E'\\'", "select U&'\\d800'", "select U&'\\0000'", "select E'\\xff'", "select 1;"),
    *("select 1; select 2", "select 1;; -- two", "begin; select 1; commit", "select '\\'"),
    # what belongs to the session or the transaction
    *("begin", "start transaction", "commit", "rollback", "end", "abort", "savepoint a"),
    *(
        "release a",
        "rollback to a",
        "commit and chain",
        "rollback and chain",
        "commit prepared 'a'",
    ),
    *("prepare transaction 'a'", "set transaction isolation level serializable"),
    *("set transaction read only", "discard all", "discard plans", "deallocate all", "reset all"),
    *("deallocate pg_durable_end_step", "prepare pg_durable_end_step as select 1", "unlisten *"),
    *("prepare a as select 1", "execute pg_durable_end_step"),
    *("set role fuzz_neighbour", "set role none", "reset role", "set role postgres"),
    *("set session authorization fuzz_neighbour", "set session authorization default"),
    *("set local search_path = nowhere", "set search_path = nowhere", "set client_encoding=latin1"),
    *("set statement_timeout = 1", "set datestyle = german", "set bytea_output = escape"),
    *("set standard_conforming_strings = off", "set constraints all deferred", "set df.x = 'y'"),
    *("set intervalstyle = iso_8601", "set extra_float_digits = -15", "set timezone = 'Mars'"),
    *(
        "listen pg_durable",
        "listen x",
        "notify pg_durable, 'cancel x'",
        "notify x",
        "load 'nothing'",
    ),
    *("declare c cursor for select 1", "declare c cursor with hold for select 1", "close all"),
    *("fetch all from c", "move 1 in c", "checkpoint", "vacuum", "lock table df.instances"),
    *("create database fuzz_other", "drop database nowhere", "alter system set work_mem = '1MB'"),
    *("reindex schema df", "cluster", "analyze", "explain select 1", "explain (analyze) select 1"),
    *(
        "show all",
        "table nowhere",
        "values (1), (2)",
        "select",
        "select from generate_series(1, 3)",
    ),
    # with the client
    *("copy (select 1) to stdout", "copy pg_class from stdin", "copy (select 1) to '/tmp/x'"),
    *("copy (select 1) to program 'true'", "select $1", "select $1::int, $2", "select $0"),
    *(
        "select pg_terminate_backend(pg_backend_pid())",
        "select pg_cancel_backend(pg_backend_pid())",
    ),
    # names that are filled in, or not
    *("select $name", "select '$name'", "select $name.x", "select {x}", "select '{x}'", "select {"),
    *("select $$ $name {x} $$", "select 1 -- $name {x}", "select /* $name */ 1", "select $name$"),
    *("select '{sys_label}'", "select {sys_nothing}", "select $a$ $name $a$", "select {x}{x}{{x}}"),
    # results
    *("select null", "select 1 as a, 2 as a", 'select 1 as " "', 'select 1 as "{x}"', "select ''"),
    *('select 1 as "a""b\\%s%%"', "select 'NaN'::float8, 'infinity'::float4, 'NaN'::numeric"),
    *(
        "select 'infinity'::date, '-infinity'::timestamptz, '4713-01-01 BC'::timestamp",
        "select 1.e1",
    ),
    "select '294276-12-31'::timestamptz, '24:00'::time, '15:00+15:59:59'::timetz",
    "select '\\x00ff'::bytea, '1 year -3 days'::interval, 12.5::money, '<a/>'::xml",
    "select '[1,2)'::int4range, '{[1,2)}'::int4multirange, 'a=>b'::text, '(1,2)'::point",
    *(
        "select array[[1,2],[3,null]], array[row(1, 'a''b')], row(null, array['x,y'])",
        "select '{}'::int[]",
    ),
    *(r"""select '"\ud800"'::json, '"\u0000"'::json""", r"""select '{"a":1,"a":1e999}'::json"""),
    *("select (repeat('[', 3000) || repeat(']', 3000))::json", "select repeat('x', 100000)"),
    *("select pg_class from pg_class limit 3", "select pg_sleep(0)", "select 1::oid::regclass"),
    "select '1'::\"char\", 'x'::name, 1::xid::text, '0/0'::pg_lsn, 'a:1'::tsvector",
    # what it does to df itself
    *(
        "select df.cancel('00000000')",
        "select df.signal('{sys_instance_id}', 'x')",
        "drop schema df",
    ),
    *(
        "select df.cancel('{sys_instance_id}')",
        "select df.start('select 1')",
        "delete from df.nodes",
    ),
    *("select df.await_instance('{sys_instance_id}')", "select df.setvar('a', 'b')", "df.sql('x')"),
    *(
        "truncate df.instances",
        "select df._checkpoint('{sys_instance_id}',1,'{}','{}','{}','{}','{}',null,null)",
    ),
    # recursion and size
    "select " + "(" * 5000 + "1" + ")" * 5000,
    "select " + "+".join("1" * 3000),
    "select '" + "x" * 1_000_000 + "'",
    "select " + ", ".join(f"{n} as c{n}" for n in range(1664)),
    "select " + ", ".join(f"{n} as c{n}" for n in range(1665)),
    "with recursive r as (select 1 union all table r) select count(*) from (table r limit 9) x",
)

# An error of each SQLSTATE that somebody might mistake for one of the server's own.
SQLSTATES = (
    *("08000", "08003", "08006", "08P01", "57000", "57014", "57P01", "57P02", "57P03", "57P05"),
    *("40000", "40001", "40002", "40003", "40P01", "25000", "25001", "25006", "25P01", "25P02"),
    *("2D000", "26000", "3F000", "42P01", "42883", "42703", "42725", "42804", "0A000", "55P03"),
    *("53100", "53200", "53300", "54001", "58030", "F0000", "P0001", "P0004", "XX000", "XX001"),
    *("WF000", "WF001", "WF002", "WF003", "WF004", "WF005", "WF006", "WF007", "WF008", "WF009"),
    *("WF010", "WF011", "WF012", "WF013", "WF999", "01000", "02000", "28000", "28P01", "3D000"),
)


def raising(sqlstate: str, text: str = "on purpose") -> str:
    """A statement that fails with an SQLSTATE."""
    return (
        f"do $do$ begin raise exception using errcode = '{sqlstate}', message = '{text}',"
        f" detail = '{text}', hint = '{text}'; end $do$"
    )
