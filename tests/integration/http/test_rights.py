"""Who may send requests: asked when a workflow is built, and again when the step runs."""

from integration.http.calling import failure
from pg_durable.engine.worker import Worker
from support.database import Database
from support.http_server import HttpServer
from support.workers import worker_here

_ENVELOPE = """'{{"node_type":"HTTP","query":"{{\\"url\\":\\"{}\\",\\"method\\":\\"GET\\"}}"}}'"""
_FORM = (
    """'{{"node_type":"HTTP_MULTIPART","query":"{{\\"url\\":\\"{}\\",\\"method\\":\\"PUT\\","""
    """\\"parts\\":[{{\\"name\\":\\"a\\",\\"data\\":\\"\\"}}]}}"}}'"""
)


async def test_an_envelope_written_by_hand_needs_the_right_when_it_runs(
    db: Database, user: Database, caller: Worker, web: HttpServer
) -> None:
    refused = await failure(user, _ENVELOPE.format(web.url("/echo")))
    form = await failure(user, _FORM.format(web.url("/echo")))
    connections = web.connections
    await db.rows("select df.grant_usage('spec_user', include_http => true)")
    allowed = await user.start(_ENVELOPE.format(web.url("/echo")))

    assert refused == (
        "Blocked: role 'spec_user' does not have EXECUTE privilege on df.http(). Grant EXECUTE ON"
        " FUNCTION df.http(text,text,text,jsonb,integer) TO spec_user to allow HTTP requests."
    )
    assert form == (
        "Blocked: role 'spec_user' does not have EXECUTE privilege on df.http_multipart(). Grant"
        " EXECUTE ON FUNCTION df.http_multipart(text,text,jsonb,jsonb,integer) TO spec_user to"
        " allow multipart HTTP requests."
    )
    assert connections == 0
    assert await user.wait(allowed) == "completed"


async def test_a_right_taken_back_stops_requests_of_workflows_under_way(
    db: Database, user: Database, caller: Worker, web: HttpServer
) -> None:
    await db.rows("select df.grant_usage('spec_user', include_http => true)")
    instance = await user.start(f"df.wait_for_signal('go') ~> df.http('{web.url('/echo')}', 'GET')")

    await db.rows("revoke execute on function df.http(text,text,text,jsonb,integer) from spec_user")
    await user.rows("select df.signal(%s, 'go')", instance)

    assert await user.wait(instance) == "failed"
    assert (await user.output(instance)).startswith("Blocked: role 'spec_user' does not have")
    assert not web.connections


async def test_the_right_is_that_of_the_role_however_it_is_called(
    db: Database, caller: Worker, web: HttpServer
) -> None:
    for name in ("Caller With Blanks", 'quo"ted', "caller_with_blanks"):
        quoted = '"' + name.replace('"', '""') + '"'
        await db.rows(f"create role {quoted} login")
        await db.rows("select df.grant_usage(%s)", name)
    try:
        await db.rows(
            "grant execute on function df.http(text,text,text,jsonb,integer)"
            ' to "Caller With Blanks"'
        )
        outcomes: dict[str, tuple[str, str | None]] = {}
        for name in ("Caller With Blanks", 'quo"ted', "caller_with_blanks"):
            session = await db.connect_as(name)
            instance = await session.start(_ENVELOPE.format(web.url("/echo")))
            outcomes[name] = await session.wait(instance), await session.output(instance)
            await session.close()
    finally:
        for name in ("Caller With Blanks", 'quo"ted', "caller_with_blanks"):
            quoted = '"' + name.replace('"', '""') + '"'
            await db.rows(f"drop owned by {quoted}")
            await db.rows(f"drop role {quoted}")

    text = outcomes['quo"ted'][1] or ""
    assert outcomes["Caller With Blanks"] == ("completed", None)
    assert outcomes["caller_with_blanks"][0] == outcomes['quo"ted'][0] == "failed"
    assert "role 'quo\"ted' does not" in text
    assert 'TO "quo""ted" to allow' in text
    assert len(web.received) == 1


async def test_without_a_policy_nothing_may_be_called(
    db: Database, worker: Worker, web: HttpServer
) -> None:
    text = await failure(db, f"df.http('{web.url('/echo')}', 'GET')")

    assert text == (
        "Blocked: outbound HTTP requests are disabled."
        " Set pg_durable.http_policy to what may be called."
    )
    assert await db.scalar("select status_details from df.nodes") == {"sqlstate": "WF004"}
    assert not web.connections


async def test_a_policy_that_cannot_be_read_allows_nothing(db: Database, web: HttpServer) -> None:
    database = (await db.row("select current_database()"))[0]
    await db.rows(f"alter database {database} set pg_durable.http_policy = 'public, ???'")
    async with worker_here(db.conninfo):
        text = await failure(db, f"df.http('{web.url('/echo')}', 'GET')")

    assert "http_policy: '???' is none of" in text
    assert not web.connections
