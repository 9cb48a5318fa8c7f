"""Secrets: sent where their owner's template says so, and shown nowhere."""

import json
import logging

import pytest

from integration.http.calling import call, failure
from pg_durable.engine.worker import Worker
from support.database import Database
from support.http_server import HttpServer, answer, http_server

VALUE = 's3cr3t-v&lue/of the "day"'


async def test_a_secret_goes_into_url_headers_and_body(
    db: Database, caller: Worker, web: HttpServer
) -> None:
    await db.rows("select df.set_secret('token', %s)", "tok-123456")

    await call(
        db,
        f"df.http('{web.url('/echo')}?key=' || df.secret('token'), 'POST',"
        " '{\"key\": \"' || df.secret('token') || '\"}',"
        " jsonb_build_object('Authorization', 'Bearer ' || df.secret('token')))",
    )

    (request,) = web.received
    assert request.target == "/echo?key=tok-123456"
    assert json.loads(request.body) == {"key": "tok-123456"}
    assert request.headers["Authorization"] == "Bearer tok-123456"


async def test_a_text_part_of_a_form_may_hold_a_secret(
    db: Database, caller: Worker, web: HttpServer
) -> None:
    await db.rows("select df.set_secret('token', 'tok-123456')")

    await call(
        db,
        f"df.http_multipart('{web.url('/echo')}', parts => jsonb_build_array("
        " jsonb_build_object('name', 'key', 'data', df.secret('token'))))",
    )

    assert b"\r\n\r\ntok-123456\r\n" in web.received[0].body


async def test_a_new_value_counts_from_the_next_request_on(
    db: Database, caller: Worker, web: HttpServer
) -> None:
    await db.rows("select df.set_secret('token', 'old')")
    instance = await db.start(
        f"df.wait_for_signal('go') ~> df.http('{web.url('/echo')}', body => df.secret('token'))"
    )

    await db.rows("select df.set_secret('token', 'new')")
    await db.rows("select df.signal(%s, 'go')", instance)

    assert await db.wait(instance) == "completed"
    assert web.received[0].body == b"new"


async def test_a_secret_is_shown_nowhere(
    db: Database, caller: Worker, web: HttpServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await db.rows("select df.set_secret('token', %s)", VALUE)
    workflows = [
        # what comes back holds it, as text, in a header, in an error
        f"df.http('{web.url('/echo')}', body => df.secret('token'))",
        f"df.http('{web.url('/mirror')}', body => df.secret('token'))",
        f"df.http('{web.url('/status/500')}?' || df.secret('token'))",
        f"df.http('{web.url('/error')}', body => df.secret('token'))",
        # no connection, no time, no such host, no URL
        "df.http('http://127.0.0.1:1/' || df.secret('token'))",
        f"df.http('{web.url('/gate')}?' || df.secret('token'), timeout_seconds => 1)",
        "df.http('http://' || df.secret('token') || '/')",
        "df.http('http://user:' || df.secret('token') || '@127.0.0.1:1/')",
        f"df.http('{web.url('/echo')}', headers => jsonb_build_object('A', df.secret('nl')))",
    ]
    await db.rows("select df.set_secret('nl', E'two\\nlines of s3cr3t')")
    web.canned["/mirror"] = answer(200, VALUE.encode(), "text/plain", f"X-Back: {VALUE}\r\n")
    web.canned["/error"] = answer(500, b"bad: " + VALUE.encode(), "text/plain")

    instances = [await db.start(workflow) for workflow in workflows]
    for instance in instances:
        await db.wait(instance)

    shown = []
    for instance in instances:
        shown += await db.rows("select df.explain(%s), df.result(%s)", instance, instance)
        shown += await db.rows("select * from df.instance_nodes(%s)", instance)
        shown += await db.rows("select i::text from df.instance_info(%s) i", instance)
    shown += await db.rows("select i::text from df.instances i")
    shown += await db.rows("select n::text from df.nodes n")
    text = "\n".join(map(str, shown)) + caplog.text
    for value in ("s3cr3t", "lue/of", "two\\nlines"):
        assert value not in text
    assert "{{secret:token}}" in text


async def test_a_value_that_looks_like_a_reference_is_no_reference(
    db: Database, caller: Worker, web: HttpServer
) -> None:
    await db.rows("select df.set_secret('token', %s)", VALUE)
    reference = await db.scalar("select df.secret('token')")
    web.canned["/evil"] = answer(200, reference.encode(), "text/plain")
    await db.rows("select df.setvar('v', df.secret('token'))")
    await db.rows("create table t (v text)")
    await db.rows("insert into t values (%s)", reference)

    await call(
        db,
        f"df.http('{web.url('/evil')}', 'GET') |=> 'r' ~> 'select v from t' |=> 'row'"
        f" ~> df.http('{web.url('/echo')}?q=$r.body', 'POST', '$r.body {{v}} $row $r.headers',"
        """ '{"A": "$row.v {v} $r.body"}')""",
    )
    sql = await call(db, "'select ''' || df.secret('token') || ''' as v'")

    request = web.received[1]
    assert VALUE not in request.body.decode() + str(request.headers) + request.target
    assert request.body.decode().startswith(f"{reference} {reference} {reference} ")
    assert sql["rows"] == [{"v": reference}]


async def test_a_reference_that_was_guessed_is_worth_nothing(
    db: Database, caller: Worker, web: HttpServer
) -> None:
    await db.rows("select df.set_secret('token', %s)", VALUE)

    text = await failure(
        db, f"df.http('{web.url('/echo')}', body => '{{{{secret:token:0123456789abcdef}}}}')"
    )
    await call(db, f"df.http('{web.url('/echo')}', body => '{{{{secret:token}}}}')")

    assert "Secret 'token' has been dropped since the workflow was built." in text
    assert [request.body for request in web.received] == [b"{{secret:token}}"]


async def test_a_reference_to_the_secret_of_another_role_is_worth_nothing(
    db: Database, user: Database, caller: Worker, web: HttpServer
) -> None:
    await db.rows("select df.grant_usage('spec_user', include_http => true)")
    await db.rows("select df.set_secret('token', %s)", VALUE)
    reference = await db.scalar("select df.secret('token')")
    await user.rows("select df.set_secret('token', 'my own')")

    text = await failure(user, f"df.http('{web.url('/echo')}', body => '{reference}')")

    assert "Secret 'token' has been dropped" in text
    assert not web.received


async def test_a_redirect_to_another_origin_loses_what_is_confidential(
    db: Database, caller: Worker, web: HttpServer
) -> None:
    await db.rows("select df.set_secret('token', 'tok-123456')")
    headers = (
        "jsonb_build_object('Authorization', 'mine', 'Cookie', 'a=b', 'X-Plain', 'p',"
        " 'X-Key', df.secret('token'))"
    )
    async with http_server() as other:
        there, here = other.url("/echo"), web.url("/echo")
        for to in (there, here):
            await call(
                db,
                f"df.http_options(df.http('{web.url('/redirect/307?to=' + to)}', 'POST', 'body',"
                f" {headers}), redirects => 1)",
            )
        blocked = await failure(
            db,
            f"df.http_options(df.http('{web.url('/redirect/307?to=' + there)}', 'POST',"
            " df.secret('token')), redirects => 1)",
        )

        (away,) = other.received
    back = web.received[2]
    assert {"Authorization", "Cookie", "X-Key"}.isdisjoint(away.headers)
    assert (away.headers["X-Plain"], away.body) == ("p", b"body")
    assert (back.headers["Authorization"], back.headers["X-Key"]) == ("mine", "tok-123456")
    assert blocked.startswith("Blocked: the redirect to '127.0.0.1' would send a secret")


async def test_user_information_of_a_url_is_sent_as_a_header_and_hidden(
    db: Database, caller: Worker, web: HttpServer
) -> None:
    url = f"http://me:pass%%20word@127.0.0.1:{web.port}"

    await call(db, f"df.http('{url}/echo', 'GET')")
    text = await failure(db, f"df.http('{url}/status/500', 'GET')")

    assert web.received[0].headers["Authorization"] == "Basic bWU6cGFzcyB3b3Jk"
    assert text.startswith(f"HTTP GET http://me:***@127.0.0.1:{web.port}/status/500 returned 500")
