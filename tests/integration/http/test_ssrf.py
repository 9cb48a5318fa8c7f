"""No connection leaves for an address that the policy forbids, whatever leads there.

Names are resolved by a table of this file in place of the operating system; every connection that
this process tries to make with a socket of Python is noted by an audit hook.
"""

import json
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from pg_durable.embedded import EmbeddedServer
from pg_durable.steps.http import resolver
from support.database import Database
from support.http_server import HttpServer
from support.waiting import until
from support.workers import worker_here

_noting: list[list[str]] = []


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.connect" and _noting and isinstance(arguments[1], tuple):
        _noting[-1].append(str(arguments[1][0]))


@pytest.fixture(scope="session", autouse=True)
def audit() -> None:
    """Audit hooks stay for the life of a process."""
    sys.addaudithook(_note)


@contextmanager
def connections() -> Iterator[list[str]]:
    """The addresses to which connections are tried."""
    noted: list[str] = []
    _noting.append(noted)
    try:
        yield noted
    finally:
        _noting.remove(noted)


class Names:
    """A name server: each name with its answers, one after another; the last stays."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Sequence[str]]] = {}
        self.asked: list[str] = []

    def look_up(self, host: str, port: int, family: int) -> list[resolver.AddressInfo]:
        self.asked.append(host)
        if host not in self.answers:
            raise socket.gaierror(socket.EAI_NONAME, "not known")
        answers = self.answers[host]
        addresses = answers.pop(0) if len(answers) > 1 else answers[0]
        return [
            (
                socket.AF_INET6 if ":" in address else socket.AF_INET,
                socket.SOCK_STREAM,
                socket.IPPROTO_TCP,
                "",
                (address, port, 0, 0) if ":" in address else (address, port),
            )
            for address in addresses
        ]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    """The name server in place of the operating system's."""
    server = Names()
    monkeypatch.setattr(resolver, "look_up", server.look_up)
    return server


def envelope(url: str, **more: object) -> str:
    """A request as somebody might write it by hand, past the checks of df.http."""
    config = {"url": url, "method": "GET", "timeout_seconds": 5, **more}
    return json.dumps({"node_type": "HTTP", "query": json.dumps(config)})


FORBIDDEN_URLS = [
    # addresses as they are
    "http://127.0.0.1:<port>/", "http://127.0.0.2:<port>/", "http://127.255.255.254:<port>/",
    "http://0.0.0.0:<port>/", "http://10.0.0.1/", "http://10.255.255.255/", "http://100.64.0.1/",
    "http://100.100.100.200/latest/meta-data/", "http://169.254.169.254/latest/meta-data/",
    "http://169.254.170.2/v2/credentials", "http://168.63.129.16/machine", "http://172.16.0.1/",
    "http://172.31.255.255/", "http://192.0.0.192/opc/v2/", "http://192.168.0.1/",
    "http://192.88.99.1/", "http://198.18.0.1/", "http://203.0.113.1/", "http://224.0.0.1/",
    "http://240.0.0.1/", "http://255.255.255.255/",
    # IPv6, and IPv4 within it
    "http://[::]:<port>/", "http://[::1]:<port>/", "http://[0:0:0:0:0:0:0:1]:<port>/",
    "http://[::127.0.0.1]:<port>/", "http://[::ffff:127.0.0.1]:<port>/",
    "http://[::ffff:7f00:1]:<port>/", "http://[0:0:0:0:0:ffff:7f00:1]:<port>/",
    "http://[::ffff:169.254.169.254]/", "http://[64:ff9b::127.0.0.1]:<port>/",
    "http://[64:ff9b::a9fe:a9fe]/", "http://[64:ff9b:1::7f00:1]:<port>/",
    "http://[2002:7f00:1::]:<port>/", "http://[2001:0:7f00:1::]:<port>/",
    "http://[fc00::1]/", "http://[fd00:ec2::254]/latest/meta-data/", "http://[fe80::1]:<port>/",
    "http://[fec0::1]/", "http://[ff02::1]/", "http://[2001:db8::1]/", "http://[3fff::1]/",
    "http://[fe80::1%25lo]:<port>/", "http://[::1%25lo]:<port>/",
    # numbers in other clothes
    "http://2130706433:<port>/", "http://017700000001:<port>/", "http://0x7f000001:<port>/",
    "http://127.1:<port>/", "http://127.0.1:<port>/", "http://0x7f.0.0.1:<port>/",
    "http://0177.0.0.1:<port>/", "http://0177.0.0.01:<port>/", "http://127.0.0.0x1:<port>/",
    "http://2852039166/", "http://0xa9fea9fe/", "http://0251.0376.0251.0376/", "http://0:<port>/",
    "http://127.0.0.1.:<port>/", "http://127。0。0。1:<port>/", "http://１２７.0.0.1:<port>/",
    "http://①②⑦.⓪.⓪.①:<port>/", "http://%31%32%37.0.0.1:<port>/", "http://127%2e0%2e0%2e1:<port>/",
    # who is the host?
    "http://allowed.test@127.0.0.1:<port>/", "http://allowed.test:80@127.0.0.1:<port>/",
    "http://127.0.0.1:<port>\\@allowed.test/", "http://127.0.0.1:<port>#@allowed.test/",
    "http://127.0.0.1:<port>?@allowed.test/", "http://127.0.0.1:<port>/@allowed.test",
    "http://127.0.0.1\t:<port>/", "http://127.0.0.1 :<port>/", " http://127.0.0.1:<port>/",
    "http:/127.0.0.1:<port>/", "http:\\\\127.0.0.1:<port>/", "http:127.0.0.1:<port>",
    "//127.0.0.1:<port>/", "http:///127.0.0.1:<port>/", "http://@127.0.0.1:<port>/",
    "http://[127.0.0.1]:<port>/", "http://127.0.0.1:0<port>/x@y",
    # another scheme
    "file:///etc/passwd", "ftp://127.0.0.1:<port>/", "gopher://127.0.0.1:<port>/_x",
    "unix:///run/docker.sock", "dict://127.0.0.1:<port>/", "ws://127.0.0.1:<port>/", "data:,x",
    # other ports of a host that may be called
    "http://allowed.test:22/", "http://allowed.test:25/", "http://allowed.test:5432/",
    # hosts that may not, by the looks of them
    "http://localhost:<port>/", "http://localhost.localdomain:<port>/", "http://localhost.:<port>/",
]  # fmt: skip

FORBIDDEN_ANSWERS = [
    "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.1.2.3", "100.64.1.1", "169.254.169.254",
    "168.63.129.16", "172.20.0.1", "192.168.1.1", "192.0.0.192", "198.18.1.1", "198.51.100.1",
    "224.0.0.251", "255.255.255.255", "::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
    "::ffff:169.254.169.254", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::1",
    "2002:a9fe:a9fe::1", "fc00::1", "fd00:ec2::254", "fe80::1", "ff02::1", "2001:db8::1",
]  # fmt: skip


def test_the_suite_is_as_large_as_it_should_be() -> None:
    assert len(set(FORBIDDEN_URLS)) + len(set(FORBIDDEN_ANSWERS)) > 110


@pytest.mark.parametrize("policy", ["public", "*.test allowed.test", "none"])
async def test_no_connection_leaves_for_a_forbidden_url(
    db: Database, web: HttpServer, names: Names, policy: str
) -> None:
    names.answers = {
        "localhost": [["127.0.0.1", "::1"]],
        "localhost.localdomain": [["127.0.0.1"]],
        "allowed.test": [["127.0.0.1"]],
    }
    urls = [url.replace("<port>", str(web.port)) for url in FORBIDDEN_URLS]

    with connections() as tried:
        async with worker_here(db.conninfo, http_policy=policy):
            for url in urls:
                await db.rows("select df.start(%s)", envelope(url))
            await db.wait_all()

    assert (web.connections, tried) == (0, [])
    refusals = await db.rows("select status, output, label from df.instances")
    for status, output, _ in refusals:
        assert status == "failed"
        assert output.startswith(("Blocked: ", "HTTP request failed: ")), output


@pytest.mark.parametrize("policy", ["public", "*.test"])
async def test_no_connection_leaves_for_a_forbidden_answer(
    db: Database, web: HttpServer, names: Names, policy: str
) -> None:
    for number, answer in enumerate(FORBIDDEN_ANSWERS):
        names.answers[f"host-{number}.test"] = [[answer]]
    names.answers["all.test"] = [FORBIDDEN_ANSWERS]

    with connections() as tried:
        async with worker_here(db.conninfo, http_policy=policy):
            for name in names.answers:
                url = f"http://{name}:{web.port}/"
                await db.rows("select df.start(%s, %s)", envelope(url), name)
            await db.wait_all()

    assert (web.connections, tried) == (0, [])
    for name, output in await db.rows("select label, output from df.instances"):
        assert output == (
            f"Blocked: the resolved IP address for '{name}' is in a restricted range."
            " df.http() cannot access private or internal network addresses."
        )
    assert set(names.asked) == set(names.answers)


async def test_of_several_answers_only_those_allowed_are_connected_to(
    db: Database, web: HttpServer, names: Names
) -> None:
    names.answers["mixed.test"] = [["::1", "127.0.0.2", "127.0.0.1", "169.254.169.254"]]

    with connections() as tried:
        async with worker_here(db.conninfo, http_policy="mixed.test 127.0.0.1"):
            instance = await db.start(f"df.http('{web.url('/echo', 'mixed.test')}', 'GET')")
            assert await db.wait(instance) == "completed", await db.output(instance)

    assert tried == ["127.0.0.1"]
    assert web.received[0].headers["Host"] == f"mixed.test:{web.port}"


async def test_a_name_that_changes_its_mind_leads_nowhere_else(
    db: Database, web: HttpServer, names: Names
) -> None:
    # What was allowed when it was looked at is what is connected to: there is no second look.
    names.answers["rebind.test"] = [["127.0.0.1"], ["127.0.0.2", "::1"]]

    with connections() as tried:
        for expected in ("completed", "failed"):  # each worker asks anew
            async with worker_here(db.conninfo, http_policy="rebind.test 127.0.0.1"):
                instance = await db.start(f"df.http('{web.url('/echo', 'rebind.test')}', 'GET')")
                assert await db.wait(instance) == expected

    assert tried == ["127.0.0.1"]
    assert names.asked == ["rebind.test"] * 2


async def test_a_redirect_is_checked_like_any_other_request(
    db: Database, web: HttpServer, names: Names
) -> None:
    names.answers = {"inside.test": [["10.0.0.1"]], "other.test": [["127.0.0.1"]]}
    targets = [
        "http://127.0.0.2:<port>/", "http://[::1]:<port>/", "http://169.254.169.254/",
        "http://2130706433/", "//127.0.0.2:<port>/", "http://inside.test/", "file:///etc/passwd",
        "http://other.test:<port>/", "http://127.0.0.1:22/", "http://allowed.test@127.0.0.2/",
        "gopher://127.0.0.1:<port>/",
    ]  # fmt: skip

    with connections() as tried:
        async with worker_here(db.conninfo, http_policy="inside.test 127.0.0.1"):
            for target in targets:
                there = target.replace("<port>", str(web.port))
                url = web.url(f"/redirect/302?to={there}")
                await db.rows("select df.start(%s)", envelope(url, redirects=5))
            await db.wait_all()

    assert set(tried) == {"127.0.0.1"}
    assert {request.path for request in web.received} == {"/redirect/302"}
    assert len(web.received) == len(targets)
    for status, output in await db.rows("select status, output from df.instances"):
        assert status == "failed"
        assert output.startswith("Blocked: "), output


async def test_a_connection_under_old_rules_is_not_used_under_new_ones(
    db: Database, web: HttpServer, server: EmbeddedServer
) -> None:
    configuration = server.data_dir / "postgresql.auto.conf"
    before = configuration.read_text()
    async with worker_here(db.conninfo):
        try:
            for rules, expected in (
                ("127.0.0.1", "completed"),
                ("none", "failed"),
                ("127.0.0.1, public", "completed"),
            ):
                configuration.write_text(f"{before}pg_durable.http_policy = '{rules}'\n")
                await db.rows("select pg_reload_conf()")
                await until(partial(_comes_to, db, web.url("/echo"), expected))
        finally:
            configuration.write_text(before)
            await db.rows("select pg_reload_conf()")

    assert web.connections >= 2


async def _comes_to(db: Database, url: str, status: str) -> bool:
    """Whether a request ends so: the worker's session takes a moment to learn of new rules."""
    instance = (await db.row("select df.start(%s)", envelope(url)))[0]
    return await db.wait(instance) == status
