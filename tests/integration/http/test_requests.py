"""df.http: what is sent, and what comes back."""

import base64
import json

import pytest

from integration.http.calling import call, failure
from pg_durable import __version__
from pg_durable.engine.worker import Worker
from support.database import Database
from support.http_server import HttpServer, answer, deflated, gzipped


async def test_a_request_is_sent_as_it_is_and_the_response_is_the_result(
    db: Database, caller: Worker, web: HttpServer
) -> None:
    result = await call(
        db, f"df.http('{web.url('/echo?a=1&b=%%20')}', 'PATCH', 'bödy', '{{\"X-One\": \"1\"}}')"
    )

    (request,) = web.received
    assert (request.method, request.target) == ("PATCH", "/echo?a=1&b=%20")
    assert request.body.decode() == "bödy"
    assert dict(request.headers) == {
        "Host": f"127.0.0.1:{web.port}",
        "X-One": "1",
        "User-Agent": f"pg_durable/{__version__}",
        "Accept": "*/*",
        "Idempotency-Key": request.headers["Idempotency-Key"],
        "Content-Length": "5",
    }
    assert list(result) == ["status", "body", "encoding", "headers", "ok", "duration_ms"] or set(
        result
    ) == {"status", "body", "encoding", "headers", "ok", "duration_ms"}
    assert (result["status"], result["encoding"], result["ok"]) == (200, "text", True)
    assert json.loads(result["body"])["body"] == "bödy"
    assert result["headers"]["content-type"] == "application/json"
    assert result["duration_ms"] >= 0


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH"])
async def test_every_method_may_have_a_body_or_none(
    db: Database, caller: Worker, web: HttpServer, method: str
) -> None:
    await call(db, f"df.http('{web.url('/echo')}', '{method}', 'x')")
    await call(db, f"df.http('{web.url('/echo')}', '{method}')")

    assert [(r.method, r.body) for r in web.received] == [(method, b"x"), (method, b"")]
    assert all("Content-Type" not in request.headers for request in web.received)


async def test_names_and_variables_are_filled_into_url_headers_and_body(
    db: Database, caller: Worker, web: HttpServer
) -> None:
    await db.rows("select df.setvar('who', 'world')")

    await call(
        db,
        "'select 7 as n, ''it''''s'' as text' |=> 'row'"
        f" ~> df.http('{web.url('/echo')}?row=$row.n&who={{who}}&instance={{sys_instance_id}}',"
        " 'POST',"
        """ '{"text": "$row.text", "rows": $row.*, "no": "$other {nobody}"}',"""
        """ '{"X-Who": "{who} $row.n", "$row.n": "kept"}') """,
    )

    (request,) = web.received
    instance = await db.scalar("select id from df.instances")
    assert request.target == f"/echo?row=7&who=world&instance={instance}"
    assert json.loads(request.body) == {
        "text": "it's", "rows": [{"n": 7, "text": "it's"}], "no": "$other {nobody}",
    }  # fmt: skip
    assert request.headers["X-Who"] == "world 7"
    assert request.headers["$row.n"] == "kept"


async def test_a_response_can_be_looked_at_by_later_steps(
    db: Database, caller: Worker, web: HttpServer
) -> None:
    result = await call(
        db,
        f"df.http('{web.url('/status/404')}', 'GET') |=> 'r'"
        " ~> ('select $r.status = 404 and not $r.ok'"
        "       ?> 'select $r.body::text as body, ($r.headers::json ->> ''content-type'') as type'"
        "       !> 'select 1/0')",
    )

    assert result["rows"] == [{"body": "so be it", "type": "text/plain"}]


@pytest.mark.parametrize("status", [200, 201, 204, 299, 304, 400, 404, 429, 499])
async def test_a_status_below_500_is_a_result(
    db: Database, caller: Worker, web: HttpServer, status: int
) -> None:
    web.canned["/x"] = f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n".encode()

    result = await call(db, f"df.http('{web.url('/x')}', 'GET')")

    assert (result["status"], result["ok"], result["body"]) == (status, 200 <= status < 300, "")


@pytest.mark.parametrize(
    ("body", "content_type", "shown"),
    [
        (b"sorry", "text/plain", "sorry"),
        (b"", "text/plain", ""),
        ("é".encode() * 300, "text/plain", "é" * 256 + "... [truncated, 600 bytes total]"),
        ("xé".encode() * 200, "text/plain", "xé" * 170 + "x... [truncated, 600 bytes total]"),
        (b"\0" * 600, "", "A" * 512 + "... [truncated, 800 base64 characters total]"),
    ],
)
async def test_a_status_of_500_and_above_fails_the_step(
    db: Database, caller: Worker, web: HttpServer, body: bytes, content_type: str, shown: str
) -> None:
    web.canned["/x"] = answer(503, body, content_type)

    text = await failure(db, f"df.http('{web.url('/x')}', 'put')")

    assert text == f"HTTP PUT {web.url('/x')} returned 503: {shown}"
    details = await db.scalar("select status_details from df.nodes")
    assert (details["http_status"], details["delivery"]) == (503, "at least once")


@pytest.mark.parametrize(
    ("body", "content_type", "text", "encoding"),
    [
        ("é".encode(), "text/plain", "é", "text"),
        (b"\xff\xfe!", "text/plain", "\ufffd\ufffd!", "text"),
        (b"\xe9", "text/plain; charset=ISO-8859-1", "é", "text"),
        (b"\x80", 'text/html; charset="windows-1252"', "€", "text"),
        ("é".encode("utf-16"), "text/plain; charset=utf-16", "é", "text"),
        (b"\xe9", "text/plain; charset=klingon", "\ufffd", "text"),
        (b"\xe9", "text/plain; charset=unicode_escape", "\ufffd", "text"),
        (b"{}", "application/problem+json", "{}", "text"),
        (b"\xff", "application/octet-stream", "/w==", "base64"),
        (b"plain", "application/octet-stream", "plain", "text"),
        (b"plain", "", "plain", "text"),
        (b"a\0b", "application/octet-stream", "YQBi", "base64"),
        (b"a\0b", "text/plain", "YQBi", "base64"),
        (b"\xff", "application/json", "\ufffd", "text"),
        (b"\xff", "image/png", "/w==", "base64"),
    ],
)
async def test_a_body_is_text_if_its_type_or_its_bytes_say_so(
    db: Database, caller: Worker, web: HttpServer,
    body: bytes, content_type: str, text: str, encoding: str,
) -> None:  # fmt: skip
    web.canned["/x"] = answer(200, body, content_type)

    result = await call(db, f"df.http('{web.url('/x')}', 'GET')")

    assert (result["body"], result["encoding"]) == (text, encoding)


async def test_headers_come_in_lower_case_the_last_of_a_name_and_only_visible_ones(
    db: Database, caller: Worker, web: HttpServer
) -> None:
    more = "X-Twice: one\r\nx-twice: two\r\nX-Odd: caf\xe9\r\nSet-Cookie: a=b\r\n"
    web.canned["/x"] = answer(200, b"", "text/plain", more)

    await call(db, f"df.http('{web.url('/x')}', 'GET')")
    result = await call(db, f"df.http('{web.url('/x')}', 'GET')")

    assert result["headers"] == {
        "content-type": "text/plain", "x-twice": "two", "set-cookie": "a=b", "content-length": "0",
    }  # fmt: skip
    assert "Cookie" not in web.received[1].headers


async def test_a_chunked_response_is_put_together(
    db: Database, caller: Worker, web: HttpServer
) -> None:
    result = await call(db, f"df.http('{web.url('/chunked')}', 'GET')")

    assert result["body"] == "one two three"


async def test_a_compressed_response_is_decompressed_though_none_is_asked_for(
    db: Database, caller: Worker, web: HttpServer
) -> None:
    web.canned["/gzip"] = gzipped(b"small" * 1000)
    web.canned["/deflate"] = deflated(b"small" * 1000)
    web.canned["/unknown"] = answer(200, b"\xff\x00", "text/plain", "Content-Encoding: br\r\n")

    results = [
        await call(db, f"df.http('{web.url(path)}', 'GET')")
        for path in ("/gzip", "/deflate", "/unknown")
    ]

    assert results[0]["body"] == results[1]["body"] == "small" * 1000
    assert (results[2]["body"], results[2]["encoding"]) == ("/wA=", "base64")
    assert all("Accept-Encoding" not in request.headers for request in web.received)


async def test_a_binary_body_is_sent_from_base64(
    db: Database, caller: Worker, web: HttpServer
) -> None:
    data = bytes(range(256)) * 100
    web.canned["/download"] = answer(200, data, "application/octet-stream")

    await call(
        db,
        f"df.http('{web.url('/download')}', 'GET') |=> 'file'"
        f" ~> df.http_options(df.http('{web.url('/echo')}', 'PUT', '$file.body'),"
        "                     body_base64 => true)",
    )

    assert web.received[1].body == data


async def test_a_form_is_sent_with_its_parts_in_order(
    db: Database, caller: Worker, web: HttpServer
) -> None:
    data = base64.b64encode(b"\x00\xffbytes").decode()
    await db.rows("select df.setvar('v', %s)", data)

    await call(
        db,
        "'select ''my \"file\".bin'' as name' |=> 'n'"
        f" ~> df.http_multipart('{web.url('/echo')}', 'PUT', '[{{\"name\": \"file\","
        ' "filename": "$n.name", "content_type": "application/x-thing; a=b", "data_b64": "{v}"},'
        ' {"name": "note-{v}", "data": "of $n.name"},'
        ' {"name": "z", "data_b64": " Zm9v\\nYmFy "}]\','
        """ '{"content-type": "text/plain", "X-A": "b"}')""",
    )

    (request,) = web.received
    content_type = request.headers["Content-Type"]
    boundary = content_type.removeprefix("multipart/form-data; boundary=")
    assert request.headers.getall("Content-Type") == [content_type]
    assert request.headers["X-A"] == "b"
    assert request.method == "PUT"
    assert request.body.split(f"--{boundary}".encode()) == [
        b"",
        b'\r\nContent-Disposition: form-data; name="file"; filename="my %22file%22.bin"\r\n'
        b"Content-Type: application/x-thing; a=b\r\n\r\n\x00\xffbytes\r\n",
        b'\r\nContent-Disposition: form-data; name="note-' + data.encode() + b'"\r\n\r\n'
        b'of my "file".bin\r\n',
        b'\r\nContent-Disposition: form-data; name="z"\r\n\r\nfoobar\r\n',
        b"--\r\n",
    ]


@pytest.mark.parametrize(
    ("part", "problem"),
    [
        ('{"name": "a", "data_b64": "no-base64"}', "Invalid base64 in part 'a': "),
        (
            '{"name": "a", "data_b64": "x$n"}',
            "HTTP_MULTIPART node <id>: data_b64 for part 'a' mixes a variable reference with other"
            " text. Only a whole-value reference is supported (e.g. data_b64 => '$result' or"
            " '{myvar}'), because splicing into base64 would corrupt the payload.",
        ),
        ('{"name": "a", "data": "", "content_type": "no type"}', "Invalid content_type for part"),
        ('{"name": "a\\r\\nb", "data": ""}', "The name of part "),
        ('{"name": "a", "data": "", "filename": "$n.nl"}', "The filename of part 'a' contains a"),
    ],
)
async def test_a_part_that_cannot_be_sent_fails_the_step(
    db: Database, caller: Worker, web: HttpServer, part: str, problem: str
) -> None:
    text = await failure(
        db,
        "'select 1 as n, E''a\\nb'' as nl' |=> 'n'"
        f" ~> df.http_multipart('{web.url('/echo')}', parts => '[{part}]')",
    )

    node = await db.scalar("select id from df.nodes where node_type = 'HTTP_MULTIPART'")
    assert problem.replace("<id>", node) in text
    assert not web.received


async def test_the_result_of_a_form_that_fails_names_the_form(
    db: Database, caller: Worker, web: HttpServer
) -> None:
    text = await failure(
        db,
        f'df.http_multipart(\'{web.url("/status/500")}\', parts => \'[{{"name":"a","data":""}}]\')',
    )

    assert text == f"HTTP_MULTIPART POST {web.url('/status/500')} returned 500: so be it"


async def test_connections_are_used_again(db: Database, caller: Worker, web: HttpServer) -> None:
    step = f"df.http('{web.url('/echo')}', 'POST', 'x')"

    await call(db, f"{step} ~> {step} ~> {step}")

    assert (len(web.received), web.connections) == (3, 1)


async def test_a_connection_that_the_server_has_closed_meanwhile_is_replaced(
    db: Database, caller: Worker, web: HttpServer
) -> None:
    step = f"df.http('{web.url('/once')}', 'POST', 'x')"

    await call(db, f"{step} ~> {step} ~> {step}")

    assert [request.connection for request in web.received] == [1, 2, 3]


async def test_a_reference_that_cannot_be_filled_in_fails_the_step_before_anything_is_sent(
    db: Database, caller: Worker, web: HttpServer
) -> None:
    text = await failure(
        db, f"'select 1 as n' |=> 'x' ~> df.http('{web.url('/echo')}?q=$x.nothing', 'GET')"
    )

    assert "$x.nothing: result has no field 'nothing' (available: n)" in text
    assert not web.connections
