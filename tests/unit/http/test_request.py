"""From a node's configuration to what is sent, and from what comes back to a result."""

import gzip
import json

import pytest

from pg_durable.errors import InvalidWorkflow, LimitExceeded, ReferenceFailed
from pg_durable.graph.nodes import Node, NodeType
from pg_durable.graph.outcomes import Leaf, Scope
from pg_durable.graph.secrets import Secret, Text, hide
from pg_durable.steps.http.config import read_config
from pg_durable.steps.http.request import Outgoing, Request, build_request
from pg_durable.steps.http.response import Body, encode_body

TOKEN = Secret("token", "0123456789abcdef")
REFERENCE = "{{secret:token:0123456789abcdef}}"


def build(kind: NodeType = NodeType.HTTP, **config: object) -> Request:
    given = {"url": "https://h/", "method": "POST", **config}
    scope = Scope({"r": json.dumps({"body": f"of $r {REFERENCE}", "n": 1})})
    leaf = Leaf(Node("00000001", kind, json.dumps(given)), scope, 1, None)
    return build_request(leaf, {"v": f"$r.n {REFERENCE}"}, 10_000, "the key")


def reveal(request: Request) -> Outgoing:
    return request.reveal(
        {TOKEN: "VALUE"}, most_bytes=10_000, most_headers=10, most_header_bytes=10_000
    )


def test_only_the_template_is_searched_for_secrets() -> None:
    request = build(body=f"{REFERENCE} {{v}} $r.body {REFERENCE}")

    outgoing = reveal(request)

    assert outgoing.body == f"VALUE 1 {REFERENCE} of $r {REFERENCE} VALUE".encode()
    assert request.secrets == [TOKEN]
    assert outgoing.confidential_body


def test_a_reference_put_together_from_values_is_none() -> None:
    request = build(body="{{secret:token:0123$r.n", headers={"A": "{{v}}"})

    assert request.secrets == []


def test_what_is_shown_of_a_url_has_no_secret_and_no_password() -> None:
    request = build(url=f"https://me:password@h/x?key={REFERENCE}&a=\n")

    assert request.shown_url == "https://me:***@h/x?key={{secret:token}}&a=?"


def test_the_same_form_is_the_same_to_the_byte() -> None:
    parts = [{"name": "a", "data": f"x{REFERENCE}"}, {"name": "b", "data_b64": "AAE="}]

    first, second = (reveal(build(NodeType.HTTP_MULTIPART, parts=parts)) for _ in range(2))
    other = reveal(build(NodeType.HTTP_MULTIPART, parts=parts[:1]))

    assert first == second
    assert first.headers != other.headers


def test_headers_of_the_users_own_take_the_place_of_ours() -> None:
    headers = {"user-agent": "me", "ACCEPT": "text/csv", "idempotency-key": "mine"}

    sent = reveal(build(headers=headers)).headers

    assert {h.name: h.value for h in sent} == headers


def test_a_secret_that_is_gone_is_an_error() -> None:
    with pytest.raises(ReferenceFailed, match="Secret 'token' has been dropped"):
        Text.of(REFERENCE).reveal({})


def test_values_are_hidden_in_every_form_in_which_they_may_come_back() -> None:
    value = 'a/b "c" é&d'
    forms = [
        value,
        json.dumps(value)[1:-1],
        "a%2Fb%20%22c%22%20%C3%A9%26d",
        "a%2Fb+%22c%22+%C3%A9%26d",
    ]

    assert [hide(form, {TOKEN: value}) for form in forms] == ["{{secret:token}}"] * 4
    assert hide("a short one", {TOKEN: "short"}) == "a short one"


@pytest.mark.parametrize(
    ("kind", "query", "problem"),
    [
        (NodeType.HTTP, None, "Invalid HTTP config: "),
        (NodeType.HTTP, "[]", "Invalid HTTP config: not a JSON object"),
        (NodeType.HTTP, "{}", "Invalid HTTP config: missing field `method`"),
        (NodeType.HTTP, '{"method":"GET"}', "Invalid HTTP config: missing field `url`"),
        (NodeType.HTTP, '{"url":"x","method":"HEAD"}', "Unsupported HTTP method: HEAD"),
        (NodeType.HTTP, '{"url":"x","method":"GET","headers":{"a":1}}', "headers must be"),
        (
            NodeType.HTTP,
            '{"url":"x","method":"GET","headers":{"Host":"a"}}',
            "header 'Host' is set",
        ),
        (NodeType.HTTP, '{"url":"x","method":"GET","body":1}', "`body` is of the wrong type"),
        (NodeType.HTTP, '{"url":"x","method":"GET","timeout_seconds":true}', "wrong type"),
        (NodeType.HTTP, '{"url":"x","method":"GET","timeout_seconds":-1}', "out of its range"),
        (NodeType.HTTP_MULTIPART, '{"url":"x","method":"GET"}', "for multipart: GET"),
        (NodeType.HTTP_MULTIPART, '{"url":"x","method":"PUT"}', "Invalid multipart HTTP config"),
        (NodeType.HTTP_MULTIPART, '{"url":"x","method":"PUT","parts":[1]}', "array of objects"),
        (
            NodeType.HTTP_MULTIPART,
            '{"url":"x","method":"PUT","parts":[{"name":"a"}]}',
            "missing field `data_b64`",
        ),
    ],
)
def test_a_configuration_that_cannot_be_sent_is_refused(
    kind: NodeType, query: str | None, problem: str
) -> None:
    with pytest.raises(InvalidWorkflow) as refused:
        read_config(kind, query)

    assert problem in str(refused.value)


def fill(body: Body, data: bytes, size: int) -> None:
    """In pieces of a size."""
    for at in range(0, len(data), size):
        body.add(data[at : at + size])


def test_a_body_is_collected_in_pieces_of_any_size() -> None:
    whole = b"some text " * 1000
    for size in (1, 7, 5000):
        packed = gzip.compress(whole) + gzip.compress(b"and more")
        body = Body("gzip", 20_000)
        fill(body, packed, size)

        assert body.whole() == whole + b"and more"


def test_a_body_never_holds_more_than_its_limit() -> None:
    body = Body("gzip", 1000)
    bomb = gzip.compress(bytes(10_000_000))

    with pytest.raises(LimitExceeded):
        fill(body, bomb, 100)


@pytest.mark.parametrize("charset", ["punycode", "idna", "utf-7", "base64", "\x00", "x" * 1000])
def test_a_charset_that_is_none_of_ours_is_read_as_utf_8(charset: str) -> None:
    assert encode_body("é".encode(), f"text/plain; charset={charset}") == ("é", "text")
