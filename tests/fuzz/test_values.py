"""What steps return goes anywhere, and stops nobody but its own workflow."""

from support.fuzz.served import Served

# Values as SQL expressions: JSON that other places cannot hold, and long, deep and empty ones.
VALUES = (
    r"""'"\ud800"'::json""",
    r"""'"\u0000"'::json""",
    r"""'{"\ud800":"\udc00\u0000"}'::json""",
    "(repeat('[', 3000) || repeat(']', 3000))::json",
    "'1e99999'::json",
    "'null'::json",
    "null",
    "''",
    "E'\\x01\\x1b[31m'",
    "repeat('x', 100000)",
    "'{x} $v {sys_label} $v.a {secret:x}'",
)
# What may be made of a value: workflows that follow the step that returns it.
USES = (
    "'select $v' ",
    "'select $v.a'",
    "'select ''$v'' as \"$v\"'",
    "df.http('http://127.0.0.1:9/$v')",
    "df.http('http://$v/')",
    "df.http('{x}://$v/')",
    "df.http('http://127.0.0.1:9/', body => '$v', headers => '{\"a\": \"$v\"}')",
    'df.http_multipart(\'http://127.0.0.1:9/\', parts => \'[{"name": "$v", "data": "$v"}]\')',
    "df.loop('select $v' ~> df.break('$v'))",
    "df.loop(df.break('$v.a'))",
    "df.if('select $v', 'select 1', 'select 2')",
    "df.if_rows('v', 'select 1', 'select 2')",
    "df.join('select $v', 'select 2')",
    "df.race('select $v', df.sleep(30))",
    "df.loop(df.sql('select $v as v') |=> 'v', 'select false')",
)


def test_a_value_that_no_text_can_hold_stops_no_worker(world: Served) -> None:
    world.owner.execute(
        "do $$ begin execute format('alter database %I set pg_durable.http_policy"
        " = ''127.0.0.1''', current_database()); end $$"
    )
    world.user.execute("select df.setvar('x', 'y')")
    instances = {}
    for value in VALUES:
        for use in USES:
            # Without a row around it, and with one.
            for step in (f"select {value} as a", f"select {value} as a, 1 as b"):
                workflow = f"df.sql(%s) |=> 'v' ~> {use}"
                query = (
                    "select df.start("
                    + workflow.replace("%s", "§", 1).replace("%", "%%").replace("§", "%s")
                    + ")"
                )
                instances[world.scalar(query, step, by=world.user)] = (value, use)

    ends = world.outcomes(list(instances), within=60)

    assert {status for status, _ in ends.values()} <= {"completed", "failed"}
    unclear = {
        instances[id_]: output
        for id_, (status, output) in ends.items()
        if status == "failed" and ("given up" in output or "Error(" in output)
    }
    assert not unclear
    world.assert_serves_others()
