"""Which hosts images may be fetched from, and the address a checked name leads to."""

from __future__ import annotations

import ipaddress
import re
import socket
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from airflow_provider_qwenimage.exceptions import BlockedHost, TransferError
from airflow_provider_qwenimage.redaction import without_query

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Sequence[str]]

# Not private to ``ipaddress`` on every supported Python, or public on paper and never an image host.
_CLOSED = tuple(
    ipaddress.ip_network(block)
    for block in (
        "100.64.0.0/10",  # carrier-grade NAT, Alibaba's metadata service 100.100.100.200 included
        "192.0.0.0/24",
        "192.88.99.0/24",
        "64:ff9b:1::/48",  # NAT64 of a network's own (RFC 8215): what is behind it, only that network knows
        "168.63.129.16/32",  # Azure's platform address
        "fd00:ec2::254/128",  # Amazon's metadata service
        "fec0::/10",
    )
)
# Blocks whose last 32 bits are an IPv4 address in disguise: NAT64 (RFC 6052), IPv4-compatible (RFC 4291).
_CARRYING = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("::/96"))
_ISATAP = frozenset({0x00005EFE, 0x02005EFE})  # what precedes the IPv4 address, in any network (RFC 5214)
_PORTS = {"http": 80, "https": 443}
_MOST_LETTERS = 32 * 1024  # of a URL; signed ones have some thousand
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f]")


class Unresolved(TransferError):
    """The name of an image host has no address now; trying again may find one."""


@dataclass(frozen=True, slots=True)
class Route:
    """
    How one URL is fetched.

    :param url: what is requested; holds the checked address where the connection is pinned to it.
    :param host_header: ``Host`` to send, ``None`` where ``url`` names the host itself.
    :param server_name: the name TLS must prove, ``None`` as above.
    :param proxy: URL of the proxy that fetches it; ``None`` for a connection of our own.
    """

    url: str
    host_header: str | None = None
    server_name: str | None = None
    proxy: str | None = None


def system_resolve(host: str, port: int) -> Sequence[str]:
    """Return every address of ``host`` in the system's order."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def is_public(address: Address) -> bool:
    """Whether an address belongs to the open internet, IPv4 carried inside IPv6 looked through."""
    if isinstance(address, ipaddress.IPv6Address):
        if int(address) >> 32 & 0xFFFFFFFF in _ISATAP and not is_public(_last_bits(address)):
            return False
        inner = _carried(address)
        if inner is not None:
            return is_public(inner)
    if any(address in block for block in _CLOSED if block.version == address.version):
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


def _carried(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if address.ipv4_mapped or address.sixtofour:
        return address.ipv4_mapped or address.sixtofour
    if address.teredo:
        return address.teredo[1]
    if any(address in block for block in _CARRYING):
        return _last_bits(address)
    return None


def _last_bits(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address:
    return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)


def route(url: str, *, allow_private: bool, resolve: Resolve = system_resolve, turn: int = 0) -> Route:
    """
    Check where ``url`` leads and pin the connection to the address that was checked.

    Pinning keeps a name from leading elsewhere between check and connection (DNS rebinding). Where the environment
    sets a proxy for the URL, the proxy resolves the name and decides what it reaches: only an address written in
    the URL is checked then.

    :param allow_private: whether loopback, private, link-local and metadata addresses are fetched from.
    :param turn: which of a host's addresses to take; a retry takes the next one.
    :raises BlockedHost: for another scheme, user info, or an address that is not public.
    :raises Unresolved: for a name without an address.
    """
    parts, host = _split(url)
    proxy = _proxy(parts, host)
    if proxy and not allow_private and _is_closed_literal(host):
        raise _blocked(host)
    if proxy or allow_private:
        return Route(parts.geturl(), proxy=proxy)
    addresses = _checked(parts, host, resolve)
    address = addresses[turn % len(addresses)]
    shown = f"[{address}]" if address.version == 6 else str(address)
    netloc = shown if parts.port is None else f"{shown}:{parts.port}"
    header = host if parts.port is None else f"{host}:{parts.port}"
    pinned = parts._replace(netloc=netloc, path=parts.path or "/").geturl()
    return Route(pinned, host_header=header, server_name=host.strip("[]"))


def _split(url: str) -> tuple[SplitResult, str]:
    """Take ``url`` apart; return its host as it goes on the wire."""
    try:
        parts = urlsplit(url)
        host, _, _ = (parts.hostname or "").rstrip("."), parts.port, url.encode()
        host = f"[{host}]" if ":" in host else host.encode("idna").decode("ascii").lower()
    except ValueError:  # a bad port, a bad bracket or a name no DNS knows
        raise BlockedHost("The image URL cannot be read: its host or port is malformed") from None
    if len(url) > _MOST_LETTERS or _UNPRINTABLE.search(parts.geturl()):
        raise BlockedHost("The image URL cannot be read: it is longer than any, or holds control characters")
    shown = without_query(url)
    if parts.scheme not in ("http", "https"):
        raise BlockedHost(f"{shown} is not fetched", advice="Only http and https URLs are.")
    if "@" in parts.netloc or "\\" in parts.netloc or not host:
        raise BlockedHost(f"{shown} names no host, or carries a user name", advice="Use a plain URL.")
    return parts._replace(fragment=""), host


def _checked(parts: SplitResult, host: str, resolve: Resolve) -> list[Address]:
    try:
        names = resolve(host.strip("[]"), parts.port or _PORTS[parts.scheme])
    except OSError as error:
        raise Unresolved(f"The image host {host} has no address: {error.strerror}") from error
    addresses = [ipaddress.ip_address(name.partition("%")[0]) for name in names]
    if not addresses:
        raise Unresolved(f"The image host {host} has no address")
    if not all(is_public(address) for address in addresses):
        raise _blocked(host)
    return addresses


def _proxy(parts: SplitResult, host: str) -> str | None:
    """Return the proxy that the environment names for a URL; ``NO_PROXY`` may name ``host`` or ``host:port``."""
    proxies = urllib.request.getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    name = host.strip("[]")
    spelt = (name, f"{host}:{parts.port or _PORTS[parts.scheme]}")
    if not proxy or any(urllib.request.proxy_bypass(each) for each in spelt):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _is_closed_literal(host: str) -> bool:
    if host == "localhost" or host.endswith((".localhost", ".internal", ".local")):
        return True
    try:
        return not is_public(ipaddress.ip_address(host.strip("[]")))
    except ValueError:
        pass
    try:  # the short spellings the C library reads: 127.1, 2130706433, 0x7f000001
        return not is_public(ipaddress.IPv4Address(socket.inet_aton(host)))
    except OSError:
        return False


def _blocked(host: str) -> BlockedHost:
    return BlockedHost(
        f"The image host {host} is not on the open internet",
        advice="Set allow_private_hosts in the qwenimage connection if images are meant to come from there.",
    )
