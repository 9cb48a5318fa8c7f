"""Where requests may go: hosts, addresses and ports, in every way they can be written."""

from ipaddress import ip_address

import pytest

from pg_durable.errors import InvalidWorkflow, NotAllowed
from pg_durable.steps.http.addresses import is_public
from pg_durable.steps.http.policy import read_policy
from pg_durable.steps.http.target import read_url

PRIVATE = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.100.100.200",
    "100.127.255.255", "127.0.0.1", "127.255.255.254", "168.63.129.16", "169.254.0.1",
    "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.192",
    "192.0.2.1", "192.88.99.1", "192.168.0.1", "192.168.255.255", "198.18.0.1",
    "198.19.255.255", "198.51.100.7", "203.0.113.7", "224.0.0.1", "239.255.255.255",
    "240.0.0.1", "255.255.255.255", "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1",
    "::ffff:10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1", "2002:7f00:1::1", "2002:808:808::1",
    "3fff::1", "4000::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fec0::1",
    "ff02::1",
]  # fmt: skip

PUBLIC = [
    "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.1", "100.63.255.255", "100.128.0.1",
    "126.255.255.255", "128.0.0.1", "168.63.129.17", "169.253.0.1", "172.15.255.255",
    "172.32.0.1", "192.0.1.1", "192.167.0.1", "198.20.0.1", "223.255.255.255",
    "2606:4700::1111", "2a00:1450:4001::200e", "2003::1", "::ffff:8.8.8.8",
    "64:ff9b::808:808",
]  # fmt: skip


@pytest.mark.parametrize("text", PRIVATE)
def test_an_address_that_is_not_global_unicast_is_not_public(text: str) -> None:
    assert not is_public(ip_address(text))


@pytest.mark.parametrize("text", PUBLIC)
def test_an_address_of_the_internet_is_public(text: str) -> None:
    assert is_public(ip_address(text))


@pytest.mark.parametrize(
    ("policy", "url", "refusal"),
    [
        ("", "https://example.com/", "outbound HTTP requests are disabled"),
        ("none", "https://example.com/", "outbound HTTP requests are disabled"),
        ("public", "https://example.com/", None),
        ("public", "http://8.8.8.8/", None),
        ("public", "http://[2606:4700::1111]:8443/", None),
        ("public", "http://10.0.0.1/", "restricted range"),
        ("public", "http://[::ffff:127.0.0.1]/", "restricted range"),
        ("public", "https://example.com:22/", "port 22 of 'example.com'"),
        ("public", "http://8.8.8.8:53/", "port 53"),
        ("public example.com:25", "http://example.com:25/", None),
        ("public example.com:25", "http://example.org:25/", "port 25"),
        ("api.example.com", "https://api.example.com:8443/x", None),
        ("api.example.com", "https://API.Example.COM/x", None),
        ("api.example.com", "https://example.com/", "is not in the allowed endpoint list"),
        ("api.example.com", "https://x.api.example.com/", "is not in the allowed endpoint list"),
        ("api.example.com", "https://api.example.com.evil.org/", "'api.example.com.evil.org'"),
        ("api.example.com", "https://evil.org/api.example.com", "'evil.org'"),
        ("api.example.com", "https://api.example.com@evil.org/", "'evil.org'"),
        ("api.example.com", "https://evil.org#@api.example.com/", "'evil.org'"),
        ("api.example.com", "https://evil.org?@api.example.com/", "'evil.org'"),
        ("api.example.com", "https://8.8.8.8/", "bare IP addresses"),
        ("*.example.com", "https://a.b.example.com/", None),
        ("*.example.com", "https://example.com/", "'example.com' is not in"),
        ("*.example.com", "https://evilexample.com/", "'evilexample.com' is not in"),
        ("example.com:8443", "https://example.com:8443/", None),
        ("example.com:8443", "https://example.com/", "port 443"),
        ("10.1.0.0/16", "http://10.1.2.3/", None),
        ("10.1.0.0/16", "http://10.2.0.1/", "bare IP addresses"),
        ("10.1.0.0/16", "http://intranet/", "'intranet' is not in"),
        ("10.1.0.0/16:8080", "http://10.1.2.3:8080/", None),
        ("10.1.0.0/16:8080", "http://10.1.2.3/", "bare IP addresses"),
        ("127.0.0.1", "http://[::ffff:127.0.0.1]/", None),
        ("[::1]:8080", "http://[::1]:8080/", None),
        ("::1", "http://[::1]:8080/", None),
        ("fd00::/8", "http://[fd12::1]/", None),
    ],
)
def test_a_policy_admits_what_its_rules_name(policy: str, url: str, refusal: str | None) -> None:
    rules, target = read_policy(policy), read_url(url)

    if refusal is None:
        rules.admit(target)
    else:
        with pytest.raises(NotAllowed, match="Blocked: ") as refused:
            rules.admit(target)
        assert refusal in str(refused.value)


@pytest.mark.parametrize(
    ("policy", "address", "port", "allowed"),
    [
        ("none", "8.8.8.8", 443, False),
        ("public", "8.8.8.8", 443, True),
        ("public", "127.0.0.1", 443, False),
        ("intranet.example", "10.1.2.3", 80, False),
        ("intranet.example, 10.1.0.0/16", "10.1.2.3", 80, True),
        ("intranet.example, 10.1.0.0/16", "::ffff:10.1.2.3", 80, True),
        ("intranet.example, 10.1.0.0/16", "10.2.0.1", 80, False),
        ("intranet.example, 10.1.0.0/16:8080", "10.1.2.3", 80, False),
        ("intranet.example, 10.1.0.0/16:8080", "10.1.2.3", 8080, True),
    ],
)
def test_a_connection_is_made_to_public_and_to_named_addresses(
    policy: str, address: str, port: int, allowed: bool
) -> None:
    assert read_policy(policy).allows(ip_address(address), port) is allowed


@pytest.mark.parametrize(
    "rule",
    [
        "public, none",
        "*",
        "*.",
        "a*.example.com",
        "10.0.0.1/8",
        "300.1.1.1",
        "x:0",
        "x:70000",
        "x:y",
    ],
)
def test_a_rule_that_cannot_be_read_is_an_error(rule: str) -> None:
    with pytest.raises(InvalidWorkflow, match="http_policy"):
        read_policy(rule)


@pytest.mark.parametrize(
    ("url", "host", "port", "path"),
    [
        ("http://Example.COM", "example.com", 80, "/"),
        ("HTTPS://example.com?q=1#f", "example.com", 443, "/?q=1"),
        ("http://user:pw@example.com:8080/a#b", "example.com", 8080, "/a"),
        ("http://a@b@example.com/", "example.com", 80, "/"),
        ("http://[2001:DB8::1]:81/x", "2001:db8::1", 81, "/x"),
        ("http://bücher.example/", "xn--bcher-kva.example", 80, "/"),
        ("http://127.0.0.1/", "127.0.0.1", 80, "/"),
        ("http://１２７.０.０.１/", "127.0.0.1", 80, "/"),
        ("http://127。0。0。1/", "127.0.0.1", 80, "/"),
        ("http://host:/x", "host", 80, "/x"),
    ],
)
def test_a_url_is_taken_apart(url: str, host: str, port: int, path: str) -> None:
    target = read_url(url)

    assert (target.host, target.port, target.path) == (host, port, path)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("localhost", "unsupported URL scheme 'localhost'"),
        ("ftp://example.com/", "unsupported URL scheme 'ftp'"),
        ("file:///etc/passwd", "unsupported URL scheme 'file'"),
        ("gopher://127.0.0.1:25/", "unsupported URL scheme 'gopher'"),
        ("javascript:alert(1)", "unsupported URL scheme 'javascript:alert(1)'"),
        ("http:///x", "unable to extract hostname"),
        ("http://", "unable to extract hostname"),
        ("http://?x", "unable to extract hostname"),
        ("http://2130706433/", "'2130706433' is neither"),
        ("http://0x7f000001/", "'0x7f000001' is neither"),
        ("http://0x7f.1/", "neither a host name"),
        ("http://127.1/", "'127.1' is neither"),
        ("http://0177.0.0.1/", "'0177.0.0.1' is neither"),
        ("http://127.0.0.1./", "'127.0.0.1.' is neither"),
        ("http://localhost./", "'localhost.' is neither"),
        ("http://127.0.0.0x1/", "neither a host name"),
        ("http://%31%32%37.0.0.1/", "neither a host name"),
        ("http://exa%6Dple.com/", "neither a host name"),
        ("http://[127.0.0.1]/", "neither a host name"),
        ("http://[::1%25eth0]/", "neither a host name"),
        ("http://[fe80::1%eth0]/", "neither a host name"),
        ("http://[::1/", "neither a host name"),
        ("http://[::1]x/", "is no port"),
        ("http://a..b/", "neither a host name"),
        ("http://-a-/", "neither a host name"),
        ("http://example.com:port/", "is no port"),
        ("http://example.com:99999/", "is no port"),
        ("http://example.com:0/", "is no port"),
        ("http://example.com\\@evil.org/", "a control character, a backslash or a blank"),
        ("http://exam ple.com/", "a control character, a backslash or a blank"),
        ("http://example.com/a\r\nHost: evil", "a control character, a backslash or a blank"),
        ("http://example\t.com/", "a control character, a backslash or a blank"),
        ("http://exam\u00adple\u2028.com/", "neither a host name"),
    ],
)
def test_what_is_no_url_is_refused(url: str, problem: str) -> None:
    with pytest.raises((NotAllowed, InvalidWorkflow)) as refused:
        read_url(url)

    assert problem in str(refused.value)
