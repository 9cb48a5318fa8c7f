r"""Rows that no workflow has, by what is wrong with them: how they get so, and what is said.

`{i}` stands for the id of the instance, as a literal. An empty message: it may run to an end.
"""

# One node of each composite type, and names.
GRAPH = (
    "'select 1 as a, ''{x}'' as b' |=> 'one'"
    " ~> df.loop('select $one.a' |=> 'two', 'select false')"
    " ~> df.if('select true', 'select 3', 'select 4')"
    " ~> df.join(df.sleep(0), 'select 6')"
)


def _nodes(change: str, node_type: str | None = None) -> str:
    which = "" if node_type is None else f" and node_type = '{node_type}'"
    return f"update df.nodes set {change} where instance_id = {{i}}{which}"


def _leaf(node_type: str, query: str) -> str:
    return _nodes(f"node_type = '{node_type}', query = {query}", "SLEEP")


def _signal(data: str) -> str:
    """The SLEEP becomes a wait, and what it waits for is there."""
    waits = _leaf("SIGNAL", """'{{"signal_name":"go"}}'""")
    return (
        f"with waits as ({waits})"
        f" insert into df._signals (instance_id, name, data) values ({{i}}, 'go', {data})"
    )


def _instance(change: str) -> str:
    return f"update df.instances set {change} where id = {{i}}"


_ROOT = "(select root_node from df.instances where id = {i})"
_DEEP = "(repeat('[', 5000) || repeat(']', 5000))"
_REFUSED_ROWS = "a node's row has ended, was stopped, or is of a later iteration"

POISONS: dict[str, tuple[str, str]] = {
    "no nodes": ("delete from df.nodes where instance_id = {i}", "has no root node"),
    "root elsewhere": (_instance("root_node = 'ffffffff'"), "has no root node ffffffff"),
    "a child gone": (
        "delete from df.nodes where instance_id = {i} and node_type = 'SLEEP'",
        "names a child .* that is missing",
    ),
    "a circle": (_nodes(f"right_node = {_ROOT}", "JOIN"), "more than one parent"),
    "its own child": (_nodes("left_node = id", "LOOP"), "more than one parent"),
    "two parents": (_nodes("left_node = right_node", "JOIN"), "more than one parent"),
    "THEN, left only": (_nodes("right_node = null", "THEN"), "THEN node .* lacks a child"),
    "THEN, right only": (_nodes("left_node = null", "THEN"), "THEN node .* lacks a child"),
    "LOOP without body": (_nodes("left_node = null", "LOOP"), "LOOP node .* lacks a child"),
    "JOIN without left": (_nodes("left_node = null", "JOIN"), "JOIN node .* lacks a child"),
    "LOOP as RACE": (_nodes("node_type = 'RACE'", "LOOP"), "RACE node .* lacks a child"),
    "a leaf with children": (_nodes(f"left_node = {_ROOT}", "SQL"), "and no children"),
    "THEN as SQL": (_nodes("node_type = 'SQL'", "THEN"), "and no children"),
    "SQL without text": (_nodes("query = null", "SQL"), "must have a query"),
    "IF without condition": (_nodes("query = null", "IF"), "missing condition_node"),
    "IF, broken": (_nodes("query = '{{'", "IF"), "IF node .* is not a JSON object"),
    "IF, endless": (_nodes("query = repeat('[', 100000)", "IF"), "is not a JSON object"),
    "IF, deep": (_nodes(f"query = {_DEEP}", "IF"), "is not a JSON object"),
    "IF, of a number": (_nodes("""query = '{{"condition_node":5}}'""", "IF"), "names no node"),
    "IF, of half a character": (
        _nodes(
            r"""query = '{{"condition_type":"result_has_rows","result_name":"\ud800\u0000"}}'""",
            "IF",
        ),
        "result '\ufffd\ufffd' not found",
    ),
    "JOIN, of a number": (
        _nodes("""query = '{{"extra_nodes":5}}'""", "JOIN"),
        "extra_nodes are not a list",
    ),
    "JOIN, of lists": (
        _nodes("""query = '{{"extra_nodes":[[1],{{}}]}}'""", "JOIN"),
        "extra_nodes are not a list",
    ),
    "SLEEP, soon": (_leaf("SLEEP", "'soon'"), "SLEEP node .*'soon' is no configuration"),
    "SIGNAL, endless": (_leaf("SIGNAL", "repeat('[', 100000)"), "is no configuration"),
    "SIGNAL, half a character": (
        _leaf("SIGNAL", r"""'{{"signal_name":"\ud800"}}'"""),
        "is no configuration",
    ),
    "SIGNAL, U+0000": (_leaf("SIGNAL", r"""'{{"signal_name":"\u0000"}}'"""), "is no configuration"),
    "SIGNAL, for ever and ever": (
        _leaf("SIGNAL", """'{{"signal_name":"a","timeout_seconds":' || repeat('9', 400) || '}}'"""),
        "is no configuration",
    ),
    "a signal of half a character": (_signal(r"""'"\ud800"'"""), ""),
    "a signal of U+0000": (_signal(r"""'{{"a":"\u0000"}}'"""), ""),
    "a deep signal": (_signal(f"{_DEEP}::json"), ""),
    "a signal of a large number": (_signal("'1e999'"), ""),
    "a date that never is": (
        _leaf("WAIT_SCHEDULE", """'{{"cron_expr":"0 0 30 2 *"}}'"""),
        "There is no such date",
    ),
    "a zone that is a file": (
        _leaf("WAIT_SCHEDULE", """'{{"cron_expr":"* * * * *","time_zone":"../../etc/passwd"}}'"""),
        "knows no time zone '../../etc/passwd'",
    ),
    "a zone of U+0000": (
        _leaf("WAIT_SCHEDULE", r"""'{{"cron_expr":"* * * * *","time_zone":"a\u0000"}}'"""),
        "knows no time zone 'a\ufffd'",
    ),
    "HTTP, deep": (_leaf("HTTP", "repeat('[', 100000)"), "HTTP config: nested too deep"),
    "HTTP, of numbers": (_leaf("HTTP", """'{{"url":5,"headers":7}}'"""), "headers must be"),
    "HTTP, half a character": (
        _leaf("HTTP", r"""'{{"url":"http://\ud800/","method":"GET"}}'"""),
        "'\ufffd' is neither a host name",
    ),
    "BREAK, of U+0000": (_leaf("BREAK", r"""'{{"break_value":"\u0000"}}'"""), "outside of a loop"),
    "BREAK, half a character": (
        _leaf("BREAK", r"""'{{"break_value":"\ud800"}}'"""),
        "has no break_value",
    ),
    "without status": (_nodes("status = null"), _REFUSED_ROWS),
    "a late generation": (_nodes("generation = 2147483647"), _REFUSED_ROWS),
    "an early generation": (_nodes("generation = -5"), ""),
    "stopped for ever": (_nodes("stopped_through = 2147483647"), _REFUSED_ROWS),
    "half a loop": (_nodes("entered_in = 1", "LOOP"), "which iteration is under way"),
    "the last iteration": (
        _nodes("entered_in = 1, first_iteration = 2147483647, iteration = 2147483647", "LOOP"),
        "",
    ),
    "an iteration before all": (
        _nodes("entered_in = 1, first_iteration = -1, iteration = -2147483648", "LOOP"),
        _REFUSED_ROWS,
    ),
    "a loop carries junk": (
        _nodes("entered_in = 1, first_iteration = 1, iteration = 1, names = '[1]'", "LOOP"),
        "What the loop carries cannot be read",
    ),
    "completed without results": (_nodes("status = 'completed'"), ""),
    "completed, details are a list": (
        _nodes("status = 'completed', result = '{{}}', status_details = '[1]'"),
        "rows of instance .* cannot be read",
    ),
    "completed, details too large": (
        _nodes("""status = 'completed', status_details = '{{"columns":1e400}}'"""),
        "rows of instance .* cannot be read",
    ),
    "completed, deep": (_nodes(f"status = 'completed', result = {_DEEP}::json", "SQL"), "too deep"),
    "failed without error": (_nodes("status = 'failed'"), "its error is not recorded"),
    "failed, half a character": (
        _nodes(r"""status = 'failed', result = '"\ud800\u0000"'"""),
        "^\ufffd\ufffd$",
    ),
    "waits since ever": (_nodes("status = 'running', due_at = '-infinity'"), ""),
    "waits for ever": (_nodes("status = 'running', due_at = 'infinity'", "SQL"), ""),
    "vars are a list": (_instance("vars = '[1]'"), "its vars are not a JSON object of texts"),
    "vars are numbers": (_instance("""vars = '{{"x":5}}'"""), "its vars are not"),
    "vars of half a character": (_instance(r"""vars = '{{"x":"\ud800"}}'"""), "its vars are not"),
    "deep vars": (_instance(f"vars = {_DEEP}::json"), "its vars are not"),
    "U+0000 as a variable": (_instance(r"""vars = '{{"x":"\u0000"}}'"""), r"character U\+0000"),
    "due since ever": (_instance("due_at = '-infinity'"), ""),
    "a label of controls": (_instance(r"label = E'\x01\x1b[31m\u202e'"), ""),
    "attempts without number": (_instance("attempts = 2147483647"), ""),
    "attempts to come": (_instance("attempts = -2147483648"), ""),
    "no such database": (_instance("database = 'nowhere'"), 'database "nowhere" does not exist'),
    "no such role": (_instance("submitted_by = '4294967295'::oid::regrole"), "no longer exists"),
    "without a status of its own": (_instance("status = null"), ""),
}
