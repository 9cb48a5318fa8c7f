"""From a request to a step's outcome: redirects, time, and the texts of failures."""

import asyncio
import logging
import traceback
from collections.abc import Mapping
from urllib.parse import urljoin

from pg_durable.errors import (
    InvalidWorkflow,
    LimitExceeded,
    NotAllowed,
    PgDurableError,
    RequestFailed,
)
from pg_durable.graph.outcomes import Failed, Outcome
from pg_durable.graph.secrets import Secret, hide
from pg_durable.settings import Settings
from pg_durable.steps.http.authorization import basic
from pg_durable.steps.http.client import BrokenBody, Client, NoConnection
from pg_durable.steps.http.request import Header, Outgoing, Request
from pg_durable.steps.http.response import Response
from pg_durable.steps.http.target import Target, read_url

log = logging.getLogger(__name__)

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# They describe a body, and go when it goes.
_OF_THE_BODY = frozenset({"content-type", "content-encoding", "content-language", "content-md5"})


def prepare(
    client: Client, request: Request, secrets: Mapping[Secret, str], settings: Settings
) -> Outgoing:
    """The request as it will be sent, once its URL is admitted and its limits are kept.

    Raises:
        PgDurableError: it cannot be sent, or must not; see `failure`.
    """
    if request.timeout > settings.http_max_timeout:
        raise LimitExceeded(
            f"timeout_seconds is {request.timeout}; the limit is {settings.http_max_timeout:g}.",
            hint="Ask for less, or raise http_max_timeout.",
        )
    # Without its secrets: so that no error tells a part of one.
    admitted = read_url(str(request.url))
    client.policy.admit(admitted)
    outgoing = request.reveal(
        secrets,
        most_bytes=settings.http_max_request_bytes,
        most_headers=settings.http_max_headers,
        most_header_bytes=settings.http_max_header_bytes,
    )
    if read_url(outgoing.url).origin != admitted.origin:
        raise InvalidWorkflow("a secret of the URL leads to another host; encode it for a URL")
    return outgoing


async def send(
    client: Client, request: Request, outgoing: Outgoing, secrets: Mapping[Secret, str]
) -> Outcome:
    """Send a request, following redirects as far as it allows. Never raises but for
    cancellation, which ends the request."""
    url = request.shown_url
    try:
        async with asyncio.timeout(request.timeout):
            response = await _follow(client, outgoing, request.redirects)
        return response.outcome(f"{request.kind} {request.method} {url}", secrets)
    except TimeoutError:
        return _failed(f"HTTP timeout after {request.timeout}s: {url}", RequestFailed.sqlstate)
    except PgDurableError as error:
        return failure(error, request, secrets)
    except Exception as bug:
        # Whatever it is: given back, the instance would send the request again and again. Its
        # words are not logged, for they might hold a secret.
        where = "".join(traceback.format_tb(bug.__traceback__))
        log.error("an HTTP step failed with %s at\n%s", type(bug).__name__, where)
        return _failed(f"HTTP request failed: {url} - an internal error", RequestFailed.sqlstate)


def failure(error: PgDurableError, request: Request, secrets: Mapping[Secret, str]) -> Failed:
    """An error as the outcome of the step: in the words for its kind, and without secrets."""
    text, url = hide(str(error), secrets), request.shown_url
    match error:
        case NotAllowed():
            pass
        case NoConnection():
            text = f"HTTP connection failed: {url} - error sending request for url ({url}): {text}"
        case BrokenBody():
            text = f"Failed to read response body: {text}"
        case _:
            text = f"HTTP request failed: {url} - {text}"
    return _failed(text, error.sqlstate)


def _failed(text: str, sqlstate: str) -> Failed:
    return Failed(text, {"sqlstate": sqlstate})


async def _follow(client: Client, outgoing: Outgoing, redirects: int) -> Response:
    target = read_url(outgoing.url)
    method, headers, body = outgoing.method, outgoing.headers, outgoing.body
    if target.user is not None and not any(h.name.lower() == "authorization" for h in headers):
        headers = (*headers, Header("Authorization", basic(target.user), confidential=True))
    for hop in range(redirects + 1):
        response = await client.send(target, method, [(h.name, h.value) for h in headers], body)
        location = response.headers.get("location")
        if response.status not in _REDIRECTS or not location or not redirects:
            return response
        if hop == redirects:
            break
        there = _next(target, location)
        if response.status == 303 or (response.status in (301, 302) and method == "POST"):
            method, body = "GET", None
            headers = tuple(h for h in headers if h.name.lower() not in _OF_THE_BODY)
        if there.origin != target.origin:
            if body is not None and outgoing.confidential_body:
                raise NotAllowed(
                    f"Blocked: the redirect to '{there.written}' would send a secret of the body"
                    " to another origin."
                )
            headers = tuple(header for header in headers if not header.confidential)
        target = there
    raise RequestFailed(f"more than {redirects} redirects")


def _next(here: Target, location: str) -> Target:
    try:
        there = read_url(urljoin(here.url, location))
    except (InvalidWorkflow, ValueError) as error:
        raise RequestFailed(f"it was redirected to what is no URL: {error}") from error
    if here.scheme == "https" and there.scheme == "http":
        raise NotAllowed(f"Blocked: the redirect to '{there.written}' leads from https to http.")
    return there
