"""Servers that are slow, broken, endless or enormous: the step fails, and says why."""

import asyncio
import gzip

import pytest

from integration.http.calling import call, failure
from integration.http.conftest import LOCAL
from pg_durable.engine.worker import Worker
from support.database import Database
from support.http_server import HttpServer, answer
from support.waiting import until
from support.workers import worker_here


async def test_a_server_that_does_not_answer_in_time_fails_the_step(
    db: Database, caller: Worker, web: HttpServer
) -> None:
    text = await failure(db, f"df.http('{web.url('/gate')}', 'GET', timeout_seconds => 1)")

    assert text == f"HTTP timeout after 1s: {web.url('/gate')}"
    details = await db.scalar("select status_details from df.nodes")
    assert (details["sqlstate"], details["delivery"]) == ("WF013", "at least once")


async def test_the_time_includes_the_body(db: Database, caller: Worker, web: HttpServer) -> None:
    web.canned["/stalls"] = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nthe first bytes"

    text = await failure(db, f"df.http('{web.url('/stalls')}', 'GET', timeout_seconds => 1)")

    assert text == f"HTTP timeout after 1s: {web.url('/stalls')}"


async def test_no_connection_fails_the_step(db: Database, caller: Worker, web: HttpServer) -> None:
    url = f"http://127.0.0.1:{await _closed_port()}/x"

    text = await failure(db, f"df.http('{url}', 'GET')")

    assert text.startswith(
        f"HTTP connection failed: {url} - error sending request for url ({url}): "
    )


async def test_a_name_that_cannot_be_resolved_fails_the_step(db: Database) -> None:
    url = "http://name.invalid/"
    async with worker_here(db.conninfo, http_policy="public"):
        text = await failure(db, f"df.http('{url}', 'GET')")

    prefix = f"HTTP connection failed: {url} - error sending request for url ({url}): "
    assert text.startswith(prefix + "the host name cannot be resolved: ")


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (b"no HTTP at all\r\n\r\n", "HTTP request failed: <url> - "),
        (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "HTTP request failed: <url> - "),
        (b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n", "HTTP request failed: <url> - "),
        (
            b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 10\r\n\r\nshort",
            "Failed to read response body: ",
        ),
        (
            b"HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
            "Failed to read response body: ",
        ),
        (
            answer(200, b"not gzip", "text/plain", "Content-Encoding: gzip\r\n"),
            "HTTP request failed: <url> - the body cannot be decompressed: ",
        ),
        (
            answer(200, gzip.compress(b"x" * 999)[:20], "text/plain", "Content-Encoding: gzip\r\n"),
            "HTTP request failed: <url> - the compressed body ends too early",
        ),
    ],
)
async def test_a_broken_response_fails_the_step(
    db: Database, caller: Worker, web: HttpServer, raw: bytes, problem: str
) -> None:
    web.canned["/x"] = raw

    text = await failure(db, f"df.http('{web.url('/x')}', 'POST')")

    assert text.startswith(problem.replace("<url>", web.url("/x")))
    assert len(web.received) == 1


async def test_a_server_that_hangs_up_fails_the_step(
    db: Database, caller: Worker, web: HttpServer
) -> None:
    text = await failure(db, f"df.http('{web.url('/drop')}', 'POST')")

    assert text == (
        f"HTTP request failed: {web.url('/drop')} - the server closed the connection without an"
        " answer"
    )
    assert len(web.received) == 1


@pytest.mark.parametrize("path", ["/endless", "/big/100001"])
async def test_a_response_beyond_the_limit_fails_the_step(
    db: Database, web: HttpServer, path: str
) -> None:
    async with worker_here(db.conninfo, http_policy=LOCAL, http_max_response_bytes=100_000):
        text = await failure(db, f"df.http('{web.url(path)}', 'GET')")
        fits = await call(db, f"df.http('{web.url('/big/100000')}', 'GET')")

    assert text == (
        f"HTTP request failed: {web.url(path)} - The response has more than 100000 bytes. "
        "Ask for less, or raise http_max_response_bytes."
    )
    assert len(fits["body"]) == 100_000


@pytest.mark.parametrize(
    "bomb",
    [
        gzip.compress(bytes(50_000_000)),  # 1,000 times as large as it looks
        gzip.compress(b"") * 10_000,  # nothing, again and again
    ],
)
async def test_a_compressed_response_is_bounded_on_both_sides(
    db: Database, web: HttpServer, bomb: bytes
) -> None:
    web.canned["/bomb"] = answer(200, bomb, "text/plain", "Content-Encoding: gzip\r\n")

    async with worker_here(db.conninfo, http_policy=LOCAL, http_max_response_bytes=100_000):
        text = await failure(db, f"df.http('{web.url('/bomb')}', 'GET')")

    assert "The response has more than 100000 bytes." in text


@pytest.mark.parametrize(
    ("limit", "workflow", "problem"),
    [
        (
            {"http_max_request_bytes": 10},
            "'POST', 'a text of 19 bytes.'",
            "The request body has 19",
        ),
        ({"http_max_headers": 4}, """'GET', headers => '{"A": "x", "B": "y"}'""", "has 5 headers"),
        (
            {"http_max_header_bytes": 1000},
            "'GET', headers => jsonb_build_object('A', repeat('x', 1000))",
            "URL and headers of the request have",
        ),
        ({"http_max_timeout": 5}, "'GET', timeout_seconds => 6", "timeout_seconds is 6; the limit"),
    ],
)
async def test_a_request_beyond_a_limit_is_not_sent(
    db: Database, web: HttpServer, limit: dict[str, float], workflow: str, problem: str
) -> None:
    async with worker_here(db.conninfo, http_policy=LOCAL, **limit):
        text = await failure(db, f"df.http('{web.url('/echo')}', {workflow})")

    assert problem in text
    assert next(iter(limit)) in text
    details = await db.scalar("select status_details from df.nodes")
    assert details["sqlstate"] == "WF007"
    assert not web.received


@pytest.mark.parametrize(
    "headers", ["X: y\r\n" * 200, f"X: {'y' * 40_000}\r\n", "X: yyyyyyyyy\r\n" * 90]
)
async def test_too_many_or_too_large_headers_of_a_response_fail_the_step(
    db: Database, web: HttpServer, headers: str
) -> None:
    web.canned["/x"] = answer(200, b"", "text/plain", headers)

    async with worker_here(db.conninfo, http_policy=LOCAL, http_max_header_bytes=1000):
        text = await failure(db, f"df.http('{web.url('/x')}', 'GET')")

    assert text.startswith(f"HTTP request failed: {web.url('/x')} - ")


async def test_a_result_beyond_the_limit_of_results_fails_the_step(
    db: Database, web: HttpServer
) -> None:
    async with worker_here(db.conninfo, http_policy=LOCAL, max_result_bytes=1000):
        text = await failure(db, f"df.http('{web.url('/big/2000')}', 'GET')")

    assert "The result of the step has" in text
    assert "max_result_bytes" in text


@pytest.mark.parametrize(
    ("headers", "problem"),
    [
        ('{"A": "$x.nl"}', "the value of header 'A' is not one line of visible ASCII characters"),
        ('{"A": "{nl}"}', "the value of header 'A' is not one line of visible ASCII characters"),
    ],
)
async def test_a_line_break_that_is_filled_in_does_not_get_out(
    db: Database, caller: Worker, web: HttpServer, headers: str, problem: str
) -> None:
    await db.rows("select df.setvar('nl', E'a\\r\\nEvil: x')")
    nl = "'select E''a\\r\\nEvil: x'' as nl' |=> 'x'"

    in_header = await failure(db, f"{nl} ~> df.http('{web.url('/echo')}', headers => '{headers}')")
    in_url = await failure(db, f"{nl} ~> df.http('{web.url('/echo')}?a=$x.nl')")

    assert problem in in_header
    assert "the URL contains a control character" in in_url
    assert not web.received


async def test_a_lost_race_and_a_cancellation_end_the_request(
    db: Database, caller: Worker, web: HttpServer
) -> None:
    raced = await db.start(f"df.http('{web.url('/gate/a')}') | df.wait_for_signal('go')")
    cancelled = await db.start(f"df.http('{web.url('/gate/b')}')")

    async def both_there() -> bool:
        return web.under_way == 2

    await until(both_there)
    await db.rows("select df.cancel(%s)", cancelled)
    await db.rows("select df.signal(%s, 'go')", raced)

    assert await db.wait(raced) == "completed"
    assert (await db.result(raced))["signal_name"] == "go"
    assert await db.status(cancelled) == "cancelled"

    async def both_gone() -> bool:
        return web.open == 0

    await until(both_gone)


async def test_a_request_wins_a_race(db: Database, caller: Worker, web: HttpServer) -> None:
    result = await call(
        db, f"(df.http('{web.url('/status/200')}') | df.sleep(60)) |=> 'r' ~> 'select $r.status'"
    )

    assert list(result["rows"][0].values()) == [200]


async def test_requests_of_a_join_run_at_the_same_time(
    db: Database, caller: Worker, web: HttpServer
) -> None:
    instance = await db.start(
        f"df.http('{web.url('/gate/1')}') & df.http('{web.url('/gate/2')}') & 'select 1'"
    )

    async def both_there() -> bool:
        return web.under_way == 2

    await until(both_there)
    web.gate.set()

    assert await db.wait(instance) == "completed"


async def _closed_port() -> int:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = int(server.sockets[0].getsockname()[1])
    server.close()
    await server.wait_closed()
    return port
