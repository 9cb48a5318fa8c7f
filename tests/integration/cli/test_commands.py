"""Commands on workflows, each run as a process."""

import asyncio
import os
import pty
import re
from pathlib import Path

import pytest

from integration.cli.running import Cli, command, environment
from pg_durable.client import Client
from pg_durable.engine.worker import Worker
from support.database import Database
from support.waiting import until

FAILING = "'select 1 as n' |=> 'one' ~> ('select 2' & 'select $one.n / 0') ~> 'select 3'"


async def test_start_prints_the_id_and_nothing_else(cli: Cli, client: Client) -> None:
    ran = await cli("start", "'select 1' ~> 'select 2'", "--label", "two steps")

    instance = await client.instance(ran.out.strip())
    assert (ran.code, ran.err, instance.label) == (0, "", "two steps")


@pytest.mark.parametrize("name", ["file", "-"])
async def test_start_reads_a_file_or_the_standard_input(
    cli: Cli, client: Client, tmp_path: Path, name: str
) -> None:
    workflow = "-- a comment first\n'select 1'\n  ~> 'select ''é'''\n"
    (tmp_path / "file").write_text(workflow)

    ran = await cli("start", "-f", str(tmp_path / name) if name == "file" else name, given=workflow)

    nodes = await client.nodes(ran.out.strip())
    assert [node.query for node in nodes] == [None, "select 1", "select 'é'"]


async def test_wait_prints_the_result_as_the_step_returned_it(
    cli: Cli, client: Client, worker: Worker
) -> None:
    instance = await client.start("select 1 as z, 12345678901234567890123::numeric as a")

    plain = await cli("wait", instance)
    as_json = await cli("wait", instance, "--json")

    assert (plain.code, as_json.code) == (0, 0)
    assert plain.out.startswith('{"rows":[{"z":1,"a":')
    assert plain.out.strip() in as_json.out  # digit by digit
    assert as_json.document["status"] == "completed"


async def test_wait_tells_a_failure_and_the_end_of_time_by_its_exit_code(
    cli: Cli, client: Client, worker: Worker
) -> None:
    failing = await client.start("select 1/0")
    sleeping = await client.start("df.sleep(1000)")

    failed = await cli("wait", failing, "--json")
    late = await cli("wait", sleeping, "--timeout", "0.1")

    assert (failed.code, failed.document["status"]) == (3, "failed")
    assert "division by zero" in failed.err
    assert (late.code, late.out) == (4, "")
    assert "still" in late.err


async def test_list_is_a_table_of_whole_lines_when_piped(cli: Cli, client: Client) -> None:
    label = "long " * 60
    instance = await client.start("'select 1'", label=label)

    ran = await cli("list", COLUMNS="40")

    title, row = ran.out.splitlines()
    assert title.split() == ["ID", "STATUS", "CREATED", "TOOK", "ROLE", "LABEL", "ERROR"]
    assert row.startswith(f"{instance}  pending")
    assert row.endswith(label.strip())
    assert ran.err == ""


async def test_list_tells_when_there_are_more(cli: Cli, db: Database) -> None:
    await db.rows("select df.start('select 1', 'many') from generate_series(1, 250)")
    await db.rows("select df.start('select 1', 'few')")

    limited = await cli("list", "--limit", "120", "--json")
    everything = await cli("list", "--all", "--json")
    few = await cli("list", "--label", "few", "--json")

    assert len(limited.document) == 120
    assert "newest 120" in limited.err
    assert len({i["id"] for i in everything.document}) == 251
    assert everything.err == ""
    assert [i["label"] for i in few.document] == ["few"]


async def test_an_empty_list_is_an_empty_document(cli: Cli) -> None:
    plain = await cli("list", "--status", "failed")
    as_json = await cli("list", "--json")

    assert (plain.code, plain.out) == (0, "")
    assert plain.err == "pg-durable: no instances\n"
    assert (as_json.code, as_json.document) == (0, [])


async def test_show_tells_where_and_why_an_instance_failed(
    cli: Cli, client: Client, worker: Worker
) -> None:
    instance = await client.start(FAILING, label="bad")
    await client.wait(instance, timeout=30)

    ran = await cli("show", instance)

    assert ran.code == 0
    lines = ran.out.splitlines()
    for line in ("Label      bad", "Status     failed", "Role       postgres"):
        assert line in lines
    assert "→ SQL: select 3 ⊘" in lines
    assert re.search(r"^Failed at node [0-9a-f]{8}$", ran.out, re.MULTILINE)
    assert "  Step        SQL select $one.n / 0" in lines
    assert "  Statement   select 1 / 0" in lines
    assert "  SQLSTATE    22012" in lines
    assert lines[-1].endswith('{"rows":[{"?column?":2}],"row_count":1}')


async def test_show_has_detail_and_hint_of_the_server(
    cli: Cli, client: Client, worker: Worker
) -> None:
    instance = await client.start(
        "do $x$ begin raise exception 'no' using detail = 'the detail', hint = 'the hint',"
        " errcode = 'AB123'; end $x$"
    )
    await client.wait(instance, timeout=30)

    ran = await cli("show", instance)

    for line in ("  SQLSTATE    AB123", "  Detail      the detail", "  Hint        the hint"):
        assert line in ran.out.splitlines()


async def test_show_marks_the_place_of_an_error_in_the_statement(
    cli: Cli, client: Client, worker: Worker
) -> None:
    instance = await client.start("select 1,\n  nope\nfrom pg_class")
    await client.wait(instance, timeout=30)

    ran = await cli("show", instance)

    assert ("  Position    line 2, character 3\n              nope\n              ^\n") in ran.out


async def test_show_tells_what_is_waited_for_and_which_iteration_is_under_way(
    cli: Cli, client: Client, worker: Worker
) -> None:
    instance = await client.start("df.loop('select 1' ~> df.wait_for_signal('go'))")

    async def waits() -> bool:
        return await client.waits_for(instance) == "signal go"

    await until(waits)
    first = await cli("show", instance)
    await cli("signal", instance, "go")

    async def iterated() -> bool:
        return (await client.nodes(instance))[0].iteration == 2

    await until(iterated)
    second = await cli("show", instance)
    as_json = await cli("show", instance, "--json")

    assert "Waits for  signal go" in first.out.splitlines()
    assert "LOOP (infinite), iteration 1 ⏳" in first.out.splitlines()
    assert "LOOP (infinite), iteration 2 ⏳" in second.out.splitlines()
    assert as_json.document["nodes"][0]["iteration"] == 2


async def test_show_of_a_stuck_instance_says_where_help_is(cli: Cli, db: Database) -> None:
    instance = await db.start("'select 1'")
    await db.rows("update df.instances set due_at = null")

    ran = await cli("show", instance)

    assert "Waits for  nothing: stuck" in ran.out.splitlines()
    assert "pg-durable doctor" in ran.out


async def test_show_as_json_has_the_nodes_with_their_results(
    cli: Cli, client: Client, worker: Worker
) -> None:
    instance = await client.start(FAILING)
    await client.wait(instance, timeout=30)

    document = (await cli("show", instance, "--json")).document

    nodes = {node["id"]: node for node in document["nodes"]}
    failure = document["failure"]
    assert document["id"] == instance
    assert (failure["sqlstate"], failure["statement"]) == ("22012", "select 1 / 0")
    assert nodes[failure["node"]]["query"] == "select $one.n / 0"
    (named,) = (node for node in nodes.values() if node["name"] == "one")
    assert named["result"] == {"rows": [{"n": 1}], "row_count": 1}


async def test_show_of_an_instance_nobody_runs_says_so(cli: Cli, db: Database) -> None:
    instance = await db.start("'select 1'")
    await db.rows("update df.instances set created_at = now() - interval '1 min'")

    ran = await cli("show", instance)

    assert "No worker has taken it up yet. Does one run? pg-durable worker" in ran.out


async def test_explain_draws_instances_expressions_and_files(
    cli: Cli, client: Client, tmp_path: Path
) -> None:
    instance = await client.start("'select 1'", label="one")
    (tmp_path / "flow.sql").write_text("'select 1' ~> 'select 2'")

    of_instance = await cli("explain", instance.upper())
    of_file = await cli("explain", "-f", str(tmp_path / "flow.sql"))
    as_json = await cli("explain", "df.sleep(5)", "--json")

    assert of_instance.out.splitlines()[0] == f"Instance: {instance} (one)"
    assert of_file.out == "SQL: select 1\n→ SQL: select 2\n"
    assert as_json.document == {"input": "df.sleep(5)", "tree": "SLEEP 5s"}


@pytest.mark.parametrize(
    ("given", "arrived"),
    [([], {}), (['{"by": "me"}'], {"by": "me"}), (["yes"], "yes"), (["--", "-5"], -5)],
)
async def test_signal_sends_json_or_text(
    cli: Cli, client: Client, worker: Worker, given: list[str], arrived: object
) -> None:
    instance = await client.start("df.wait_for_signal('go')")

    sent = await cli("signal", instance, "go", *given)
    waited = await cli("wait", instance)

    assert (sent.code, sent.out) == (0, f"Signal go is sent to instance {instance}.\n")
    assert waited.document["data"] == arrived


async def test_signal_tells_that_an_instance_has_ended(cli: Cli, client: Client) -> None:
    instance = await client.start("df.wait_for_signal('go')")
    await client.cancel(instance)

    ran = await cli("signal", instance, "go")

    assert (ran.code, ran.err) == (0, "")
    assert ran.out == f"Instance {instance} was cancelled already; nothing will take the signal.\n"


async def test_cancel_tells_what_it_changed(cli: Cli, client: Client) -> None:
    instance = await client.start("df.sleep(1000)")

    first = await cli("cancel", instance, "--reason", "enough")
    second = await cli("cancel", instance)

    assert (first.code, first.out) == (0, f"Instance {instance} is cancelled.\n")
    assert (second.code, second.out) == (
        0,
        f"Instance {instance} was cancelled already; nothing is changed.\n",
    )
    assert (await client.instance(instance)).error == "canceled: enough"


async def test_a_reader_that_goes_away_is_no_error(cli: Cli, db: Database) -> None:
    await db.rows("select df.start('select 1', repeat('x', 1900)) from generate_series(1, 200)")
    line = " ".join(command("list", "--all")) + " | head -1"

    process = await asyncio.create_subprocess_shell(
        line,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment(**cli.variables),
    )
    out, err = await process.communicate()

    assert out.startswith(b"ID")
    assert err == b""


async def test_colours_are_for_terminals_only(cli: Cli, client: Client) -> None:
    await client.start("'select 1'")
    ours, theirs = pty.openpty()

    process = await asyncio.create_subprocess_exec(
        *command("list"), stdout=theirs, stderr=theirs, env=environment(**cli.variables)
    )
    os.close(theirs)
    await process.wait()
    on_terminal = os.read(ours, 65536)
    os.close(ours)
    piped = await cli("list", FORCE_COLOR="1")

    assert b"\x1b[" in on_terminal
    assert "\x1b" not in piped.out
