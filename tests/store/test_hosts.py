"""Which hosts images are fetched from."""

from __future__ import annotations

import ipaddress

import pytest

from airflow_provider_qwenimage.exceptions import BlockedHost, TransferError
from airflow_provider_qwenimage.images.hosts import Route, is_public, route

PUBLIC = "47.92.1.1"

CLOSED = [
    "127.0.0.1", "127.255.255.254", "10.1.1.1", "172.16.0.1", "172.31.255.255", "192.168.1.1",
    "169.254.169.254", "100.64.0.1", "100.127.255.254", "100.100.100.200", "0.0.0.0", "0.1.2.3",
    "224.0.0.1", "240.0.0.1", "255.255.255.255", "198.18.0.1", "192.0.2.1", "192.0.0.8", "168.63.129.16",
    "::1", "::", "fe80::1", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1", "fec0::1",
    "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "64:ff9b:1::808:808", "64:ff9b:1:a00:0:100::",
    "2002:7f00:1::", "2002:a9fe:a9fe::", "::ffff:0:7f00:1",
    "2400:3200::5efe:7f00:1", "2400:3200::5efe:a00:1", "2400:3200::200:5efe:a9fe:a9fe", "fe80::5efe:808:808",
    "2002:808:808::5efe:a00:1",
]  # fmt: skip


@pytest.mark.parametrize("address", CLOSED)
def test_an_address_off_the_open_internet_is_not_public(address):
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", PUBLIC, "2400:3200::1", "::ffff:8.8.8.8", "64:ff9b::808:808", "2400:3200::5efe:808:808"],
)
def test_an_address_on_the_open_internet_is_public(address):
    assert is_public(ipaddress.ip_address(address))


def leading_to(*addresses):
    return lambda host, port: addresses


def test_the_connection_is_pinned_to_the_address_that_was_checked():
    found = route(
        "https://a.example/x.png?Expires=1&b=%2F#top", allow_private=False, resolve=leading_to(PUBLIC)
    )
    assert found == Route(f"https://{PUBLIC}/x.png?Expires=1&b=%2F", "a.example", "a.example")


def test_the_port_stays_and_the_path_is_never_empty():
    found = route("http://a.example:8080", allow_private=False, resolve=leading_to("2400:3200::1"))
    assert found == Route("http://[2400:3200::1]:8080/", "a.example:8080", "a.example")


def test_a_name_in_another_script_goes_out_as_dns_knows_it():
    found = route("https://bücher.example/", allow_private=False, resolve=leading_to(PUBLIC))
    assert found.host_header == found.server_name == "xn--bcher-kva.example"


def test_a_name_with_one_private_address_among_its_addresses_is_blocked():
    with pytest.raises(BlockedHost, match="allow_private_hosts"):
        route("https://a.example/", allow_private=False, resolve=leading_to(PUBLIC, "10.0.0.1"))


def test_a_retry_takes_the_next_address():
    both = leading_to(PUBLIC, "8.8.8.8")
    taken = [
        route("http://a.example/", allow_private=False, resolve=both, turn=turn).url for turn in range(3)
    ]
    assert taken == [f"http://{PUBLIC}/", "http://8.8.8.8/", f"http://{PUBLIC}/"]


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/x", "http://127.1/x", "http://2130706433/", "http://0x7f000001/", "http://[::1]/",
        "http://[::ffff:127.0.0.1]/", "http://１２７.0.0.1/", "http://localhost/", "http://LOCALHOST./",
        "ftp://a.example/x", "file:///etc/passwd", "gopher://a.example/", "//a.example/x", "http:///x",
        "https://user@a.example/x", "https://user:secret@a.example/x", "http://a.example\\@b.example/",
        "http://a.example:99999/", "http://[::1/x", "http://a.example/\x01", "http://a.example/\ud83d",
        "http://a..example/", f"http://{'a' * 64}.example/", f"http://a.example/{'a' * 40_000}",
    ],
)  # fmt: skip
def test_a_url_that_leads_off_the_open_internet_is_blocked(url):
    with pytest.raises(BlockedHost) as caught:
        route(url, allow_private=False)
    assert "secret" not in str(caught.value)


def test_private_hosts_are_fetched_from_when_the_connection_allows_it():
    assert route("http://127.0.0.1:9/x#y", allow_private=True) == Route("http://127.0.0.1:9/x")


@pytest.mark.parametrize("url", ["ftp://a.example/x", "https://user@a.example/x"])
def test_scheme_and_user_are_refused_whatever_the_connection_allows(url):
    with pytest.raises(BlockedHost):
        route(url, allow_private=True)


def test_a_name_without_an_address_is_an_error_that_may_pass():
    def nowhere(host, port):
        raise OSError(-2, "Name or service not known")

    with pytest.raises(TransferError, match=r"a\.example has no address") as caught:
        route("https://a.example/", allow_private=False, resolve=nowhere)
    assert not isinstance(caught.value, BlockedHost)


@pytest.fixture
def _proxied(monkeypatch):
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("no_proxy", "direct.example")


def unreachable(host, port):
    raise AssertionError("the proxy resolves names")


@pytest.mark.usefixtures("_proxied")
def test_behind_a_proxy_the_name_is_left_to_the_proxy():
    assert route("https://a.example/x", allow_private=False, resolve=unreachable) == Route(
        "https://a.example/x", proxy="http://proxy.example:3128"
    )


@pytest.mark.usefixtures("_proxied")
@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1", "127.1", "2130706433", "[::1]", "metadata.google.internal"]
)
def test_behind_a_proxy_a_host_that_says_it_is_private_is_blocked(host):
    with pytest.raises(BlockedHost):
        route(f"https://{host}/", allow_private=False, resolve=unreachable)


@pytest.mark.parametrize("named", ["direct.example", "direct.example:443", ".example", "*"])
def test_a_host_the_proxy_is_not_for_is_checked_and_pinned(monkeypatch, named):
    monkeypatch.setenv("https_proxy", "proxy.example:3128")
    monkeypatch.setenv("no_proxy", f"elsewhere.invalid, {named}" if named != "*" else named)
    found = route("https://direct.example/", allow_private=False, resolve=leading_to(PUBLIC))
    assert found == Route(f"https://{PUBLIC}/", "direct.example", "direct.example")
    with pytest.raises(BlockedHost):
        route("https://direct.example/", allow_private=False, resolve=leading_to("10.0.0.1"))


def test_a_port_the_exception_does_not_name_goes_through_the_proxy(monkeypatch):
    monkeypatch.setenv("https_proxy", "proxy.example:3128")
    monkeypatch.setenv("no_proxy", "direct.example:8443")
    found = route("https://direct.example/", allow_private=False, resolve=unreachable)
    assert found == Route("https://direct.example/", proxy="http://proxy.example:3128")


@pytest.mark.usefixtures("_proxied")
def test_where_private_hosts_are_allowed_the_environment_still_chooses_the_proxy():
    assert route("https://10.0.0.1/x", allow_private=True).proxy == "http://proxy.example:3128"
    assert route("https://direct.example/x", allow_private=True).proxy is None
    assert route("http://10.0.0.1/x", allow_private=True).proxy is None
