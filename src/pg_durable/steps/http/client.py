"""The HTTP client of a worker: connections kept and reused, checked when they are made."""

import asyncio
import ssl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import aiohttp
from yarl import URL

from pg_durable.errors import InvalidWorkflow, LimitExceeded, NotAllowed, RequestFailed
from pg_durable.settings import Settings
from pg_durable.steps.http.policy import Policy, read_policy
from pg_durable.steps.http.resolver import Resolver
from pg_durable.steps.http.response import Body, Response, visible_headers
from pg_durable.steps.http.target import Target

# Servers close idle connections after five seconds and more.
_KEEP_ALIVE = 4.0
# Idle connections that the other side has closed, before a new one is made for certain.
_STALE = 5
_LONGEST_LINE = 16 * 1024


class Client:
    """Sends requests under one policy.

    Two sessions: one whose every connection is checked, and one that speaks to the proxy alone,
    which then decides about addresses itself.
    """

    def __init__(self, settings: Settings, policy: Policy) -> None:
        self.policy = policy
        self._settings = settings
        self._direct_hosts = read_policy(settings.http_no_proxy)
        self._tls = _tls(settings)
        self._users = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._resolver = Resolver(policy)
        self._direct = self._session(
            aiohttp.TCPConnector(
                resolver=self._resolver,
                socket_factory=self._resolver.open_socket,
                ssl=self._tls,
                limit=0,
                keepalive_timeout=_KEEP_ALIVE,
            )
        )
        self._proxied: aiohttp.ClientSession | None = None
        if settings.http_proxy:
            connector = aiohttp.TCPConnector(ssl=self._tls, limit=0, keepalive_timeout=_KEEP_ALIVE)
            self._proxied = self._session(connector, proxy=settings.http_proxy)

    def _session(
        self, connector: aiohttp.TCPConnector, proxy: str | None = None
    ) -> aiohttp.ClientSession:
        trace = aiohttp.TraceConfig()
        trace.on_connection_reuseconn.append(_note_reuse)
        return aiohttp.ClientSession(
            connector=connector,
            proxy=proxy,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),  # nobody's cookies go along with others' requests
            timeout=aiohttp.ClientTimeout(),  # whoever calls sees to it
            skip_auto_headers=("Accept-Encoding", "Content-Type", "User-Agent", "Accept"),
            read_bufsize=64 * 1024,
            max_line_size=_LONGEST_LINE,
            max_field_size=self._settings.http_max_header_bytes,
            max_headers=self._settings.http_max_headers,
            trace_configs=[trace],
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._direct.close()
        await self._resolver.close()
        if self._proxied is not None:
            await self._proxied.close()

    async def close_when_idle(self) -> None:
        """Close all connections when nobody uses this any more."""
        try:
            await self._idle.wait()
        finally:
            await self.close()

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Within it, `close_when_idle` waits."""
        self._users += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._users -= 1
            if not self._users:
                self._idle.set()

    async def send(
        self, target: Target, method: str, headers: Iterable[tuple[str, str]], body: bytes | None
    ) -> Response:
        """Send one request and read its response, which may be a redirect.

        Raises:
            NotAllowed: the policy forbids the host, or all its addresses.
            RequestFailed: no answer, or none that can be used; says why, and not of what URL.
            LimitExceeded: the response is too large.
        """
        self.policy.admit(target)
        for attempt in range(_STALE + 1):
            reused = SimpleNamespace(connection=False)
            try:
                return await self._exchange(target, method, headers, body, reused)
            except aiohttp.ServerDisconnectedError as error:
                # The other side had closed the idle connection before this request got there.
                if not reused.connection or attempt == _STALE:
                    raise RequestFailed(
                        "the server closed the connection without an answer"
                    ) from error
        raise AssertionError

    async def _exchange(
        self,
        target: Target,
        method: str,
        headers: Iterable[tuple[str, str]],
        body: bytes | None,
        reused: SimpleNamespace,
    ) -> Response:
        url = URL(target.url)
        if (url.raw_host, url.port) != (target.host, target.port):
            raise RequestFailed("the URL can be read in more than one way")
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with self._session_for(target).request(
                method,
                url,
                headers=list(headers),
                data=body,
                allow_redirects=False,
                trace_request_ctx=reused,
            ) as response:
                fields = visible_headers(response.headers.items())
                self._check_headers(response)
                content = Body(
                    response.headers.get("Content-Encoding", ""),
                    self._settings.http_max_response_bytes,
                )
                await _read(response, content)
                return Response(
                    status=response.status,
                    headers=fields,
                    body=content.whole(),
                    duration=loop.time() - began,
                )
        except aiohttp.ServerDisconnectedError:
            raise
        except (aiohttp.ClientConnectorError, aiohttp.ClientHttpProxyError) as error:
            raise NoConnection(_cause(error)) from error
        except InvalidWorkflow as error:
            raise RequestFailed(error.message) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise RequestFailed(_cause(error)) from error

    def _session_for(self, target: Target) -> aiohttp.ClientSession:
        if self._proxied is None:
            return self._direct
        try:
            self._direct_hosts.admit(target)
        except NotAllowed:
            return self._proxied
        return self._direct

    def _check_headers(self, response: aiohttp.ClientResponse) -> None:
        size = sum(len(name) + len(value) + 4 for name, value in response.raw_headers)
        if size > self._settings.http_max_header_bytes:
            raise LimitExceeded(
                f"The headers of the response have {size} bytes;"
                f" the limit is {self._settings.http_max_header_bytes}.",
                hint="Raise http_max_header_bytes.",
            )


class NoConnection(RequestFailed):
    """No connection could be made: the name, the address, TLS or the proxy is in the way."""


class BrokenBody(RequestFailed):
    """The response began, and its body cannot be read to the end."""


async def _read(response: aiohttp.ClientResponse, body: Body) -> None:
    try:
        async for data in response.content.iter_any():
            body.add(data)
    except (aiohttp.ClientError, OSError) as error:
        raise BrokenBody(_cause(error)) from error


async def _note_reuse(_: Any, context: Any, __: Any) -> None:
    context.trace_request_ctx.connection = True


def _cause(error: BaseException) -> str:
    """Why, in one line, without the URL."""
    match error:
        case aiohttp.ClientConnectorCertificateError():
            return f"the server's certificate is not accepted: {error.certificate_error}"
        case aiohttp.ClientConnectorDNSError():
            return f"the host name cannot be resolved: {error.os_error}"
        case aiohttp.ClientConnectorError():
            return " ".join(str(error.os_error).split())
        case aiohttp.ClientHttpProxyError():
            return f"the proxy refuses: {error.status} {error.message}"
        case aiohttp.ClientResponseError():
            return " ".join(error.message.split())
        case aiohttp.InvalidURL():
            return "not a URL"
    return " ".join(str(error).split()) or type(error).__name__


def _tls(settings: Settings) -> ssl.SSLContext:
    """TLS as the settings have it: verified against the system's certificates, and more.

    Raises:
        RequestFailed: a file of the settings cannot be used.
    """
    context = ssl.create_default_context()
    try:
        if settings.http_ca_bundle:
            context.load_verify_locations(settings.http_ca_bundle)
        if settings.http_client_certificate:
            context.load_cert_chain(
                settings.http_client_certificate, settings.http_client_key or None
            )
    except (OSError, ssl.SSLError) as error:
        raise RequestFailed(
            f"http_ca_bundle or http_client_certificate cannot be used: {error}"
        ) from error
    return context
