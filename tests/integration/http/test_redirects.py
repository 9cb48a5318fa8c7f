"""Redirects: results unless a step asks to follow them."""

import pytest

from integration.http.calling import call, failure
from pg_durable.engine.worker import Worker
from support.database import Database
from support.http_server import HttpServer


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_the_result(
    db: Database, caller: Worker, web: HttpServer, status: int
) -> None:
    result = await call(db, f"df.http('{web.url(f'/redirect/{status}?to=/echo')}', 'GET')")

    assert (result["status"], result["ok"]) == (status, False)
    assert result["headers"]["location"] == "/echo"
    assert len(web.received) == 1


@pytest.mark.parametrize(
    ("status", "method", "then", "body"),
    [
        (301, "POST", "GET", b""),
        (302, "POST", "GET", b""),
        (303, "PUT", "GET", b""),
        (302, "PUT", "PUT", b"x"),
        (307, "POST", "POST", b"x"),
        (308, "PATCH", "PATCH", b"x"),
    ],
)
async def test_a_redirect_is_followed_as_browsers_do(
    db: Database, caller: Worker, web: HttpServer,
    status: int, method: str, then: str, body: bytes,
) -> None:  # fmt: skip
    result = await call(
        db,
        f"df.http_options(df.http('{web.url(f'/redirect/{status}?to=/echo')}', '{method}', 'x',"
        """ '{"Content-Type": "text/plain"}'), redirects => 1)""",
    )

    first, second = web.received
    assert result["status"] == 200
    assert (second.method, second.target, second.body) == (then, "/echo", body)
    assert ("Content-Type" in second.headers) == bool(body)
    assert first.headers["Idempotency-Key"] == second.headers["Idempotency-Key"]


async def test_more_redirects_than_allowed_fail_the_step(
    db: Database, caller: Worker, web: HttpServer
) -> None:
    url = web.url("/redirect/302?to=/redirect/302?to=/redirect/302")

    text = await failure(db, f"df.http_options(df.http('{url}', 'GET'), redirects => 1)")

    assert text == f"HTTP request failed: {url} - more than 1 redirects"
    assert len(web.received) == 2


async def test_the_time_includes_all_redirects(
    db: Database, caller: Worker, web: HttpServer
) -> None:
    url = web.url("/redirect/302?to=/gate")

    text = await failure(
        db, f"df.http_options(df.http('{url}', 'GET', timeout_seconds => 1), redirects => 3)"
    )

    assert text == f"HTTP timeout after 1s: {url}"
