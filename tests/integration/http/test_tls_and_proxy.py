"""TLS with certificates of one's own, and the proxy of a company."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import trustme

from integration.http.calling import call, failure
from integration.http.conftest import LOCAL
from support.database import Database
from support.http_server import HttpServer, http_server
from support.workers import worker_here


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Who signs certificates here."""
    return trustme.CA()


@pytest.fixture
def bundle(authority: trustme.CA, tmp_path: Path) -> str:
    """The file with the authority's certificate."""
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


def server_tls(authority: trustme.CA, *names: str, client: bool = False) -> ssl.SSLContext:
    """What a server needs; with `client`, it wants a certificate from its callers."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(*names).configure_cert(context)
    if client:
        authority.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


async def test_a_server_is_called_whose_certificate_the_bundle_signs(
    db: Database, authority: trustme.CA, bundle: str
) -> None:
    async with (
        http_server(tls=server_tls(authority, "localhost", "127.0.0.1")) as web,
        worker_here(db.conninfo, http_policy=LOCAL, http_ca_bundle=bundle),
    ):
        by_address = await call(db, f"df.http('{web.url('/echo')}', 'GET')")
        by_name = await call(db, f"df.http('{web.url('/echo', 'localhost')}', 'GET')")

    assert by_address["status"] == by_name["status"] == 200


@pytest.mark.parametrize("trusted", [True, False])
async def test_a_certificate_that_does_not_fit_or_is_not_trusted_fails_the_step(
    db: Database, authority: trustme.CA, bundle: str, trusted: bool
) -> None:
    names = ["other.example"] if trusted else ["127.0.0.1"]
    settings = {"http_ca_bundle": bundle} if trusted else {}
    async with (
        http_server(tls=server_tls(authority, *names)) as web,
        worker_here(db.conninfo, http_policy=LOCAL, **settings),
    ):
        url = web.url("/echo")
        text = await failure(db, f"df.http('{url}', 'GET')")

    assert text.startswith(
        f"HTTP connection failed: {url} - error sending request for url ({url}): "
        "the server's certificate is not accepted: "
    )
    assert not web.received


async def test_a_client_certificate_is_shown_to_a_server_that_asks(
    db: Database, authority: trustme.CA, bundle: str, tmp_path: Path
) -> None:
    pem, key = tmp_path / "client.pem", tmp_path / "client.key"
    certificate = authority.issue_cert("client@example.com")
    certificate.cert_chain_pems[0].write_to_path(str(pem))
    certificate.private_key_pem.write_to_path(str(key))
    async with http_server(tls=server_tls(authority, "127.0.0.1", client=True)) as web:
        async with worker_here(db.conninfo, http_policy=LOCAL, http_ca_bundle=bundle):
            without = await failure(db, f"df.http('{web.url('/echo')}', 'GET')")
        async with worker_here(
            db.conninfo,
            http_policy=LOCAL,
            http_ca_bundle=bundle,
            http_client_certificate=str(pem),
            http_client_key=str(key),
        ):
            result = await call(db, f"df.http('{web.url('/echo')}', 'GET')")

    assert without.startswith("HTTP ")
    assert result["status"] == 200


async def test_a_file_that_is_missing_fails_the_step_and_says_so(
    db: Database, web: HttpServer
) -> None:
    async with worker_here(db.conninfo, http_policy=LOCAL, http_ca_bundle="/no/such/file"):
        text = await failure(db, f"df.http('{web.url('/echo')}', 'GET')")

    assert "http_ca_bundle or http_client_certificate cannot be used: " in text
    assert not web.connections


async def test_a_redirect_from_https_to_http_is_not_followed(
    db: Database, authority: trustme.CA, bundle: str, web: HttpServer
) -> None:
    async with (
        http_server(tls=server_tls(authority, "127.0.0.1")) as safe,
        worker_here(db.conninfo, http_policy=LOCAL, http_ca_bundle=bundle),
    ):
        url = safe.url(f"/redirect/302?to={web.url('/echo')}")
        text = await failure(db, f"df.http_options(df.http('{url}', 'GET'), redirects => 2)")

    assert text == "Blocked: the redirect to '127.0.0.1' leads from https to http."
    assert not web.received


class Proxy:
    """A small proxy: CONNECT, and whole URLs. Every host is the server behind it."""

    def __init__(self, behind: int) -> None:
        self.behind = behind
        self.port = 0
        self.asked: list[tuple[str, str | None]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        method, target, _ = head.split("\r\n")[0].split(" ")
        fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:-2])
        self.asked.append((f"{method} {target}", fields.get("Proxy-Authorization")))
        there, onward = await asyncio.open_connection("127.0.0.1", self.behind)
        if method == "CONNECT":
            writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
        else:
            path = "/" + target.split("/", 3)[3]
            onward.write(head.replace(target, path, 1).encode())
        await asyncio.gather(_pump(reader, onward), _pump(there, writer))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(4096):
            writer.write(data)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def proxy_to(behind: HttpServer) -> AsyncIterator[Proxy]:
    """A proxy as long as the block."""
    proxy = Proxy(behind.port)
    tasks = set()

    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        with suppress(asyncio.CancelledError):
            await proxy.serve(reader, writer)
        writer.close()

    server = await asyncio.start_server(accepted, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    yield proxy
    server.close()
    for task in tasks:
        assert task is not None
        task.cancel()
    await asyncio.gather(*[task for task in tasks if task], return_exceptions=True)


async def test_requests_go_through_the_proxy_and_it_resolves_the_names(
    db: Database, authority: trustme.CA, bundle: str, web: HttpServer
) -> None:
    tls = server_tls(authority, "api.invalid")
    async with http_server(tls=tls) as safe, proxy_to(web) as plain, proxy_to(safe) as tunnel:
        async with worker_here(
            db.conninfo, http_policy="*.invalid", http_proxy=f"http://127.0.0.1:{plain.port}"
        ):
            first = await call(db, "df.http('http://api.invalid/echo?a=b', 'POST', 'x')")
        async with worker_here(
            db.conninfo,
            http_policy="*.invalid",
            http_ca_bundle=bundle,
            http_proxy=f"http://me:pass@127.0.0.1:{tunnel.port}",
        ):
            second = await call(db, "df.http('https://api.invalid/echo', 'GET')")

    assert first["status"] == second["status"] == 200
    assert plain.asked == [("POST http://api.invalid/echo?a=b", None)]
    assert tunnel.asked == [("CONNECT api.invalid:443", "Basic bWU6cGFzcw==")]


async def test_the_policy_holds_in_front_of_the_proxy_and_hosts_can_be_called_past_it(
    db: Database, web: HttpServer
) -> None:
    async with (
        proxy_to(web) as proxy,
        worker_here(
            db.conninfo,
            http_policy="*.invalid 127.0.0.1",
            http_no_proxy="127.0.0.1",
            http_proxy=f"http://127.0.0.1:{proxy.port}",
        ),
    ):
        refused = [
            await failure(db, f"df.http('http://{host}/', 'GET')")
            for host in ("other.example", "169.254.169.254", "2130706433")
        ]
        direct = await call(db, f"df.http('{web.url('/echo')}', 'GET')")

    assert all(text.startswith("Blocked: ") for text in refused)
    assert direct["status"] == 200
    assert proxy.asked == []
