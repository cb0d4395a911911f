"""Where an outbound call may go: https, no tricks in the address, and a host on the public internet. Pure.

`ipaddress.is_global` is no such filter: it lets NAT64 and 6to4 forms of loopback pass, among others. The tables are
the union of what Svix and smokescreen refuse and the IANA special-purpose registries.
"""

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final
from urllib.parse import urlsplit

URL_LIMIT: Final = 2048

_REFUSED_IPV4: Final = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24",
        "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
    )
)  # fmt: skip
_REFUSED_IPV6: Final = tuple(
    IPv6Network(network)
    for network in (
        "::/96", "64:ff9b:1::/48", "100::/64", "2001::/32", "2001:db8::/32", "2002::/16", "3fff::/20", "5f00::/16", "fc00::/7",
        "fe80::/10", "fec0::/10", "ff00::/8",
    )
)  # fmt: skip
_NAT64: Final = IPv6Network("64:ff9b::/96")
_LOOPBACK: Final = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))
_HOST: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*")
_ALL_DIGITS: Final = re.compile(r"(?:[0-9]+|0[xX][0-9a-fA-F]*)")


def reaches(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return the address that a packet really goes to: the IPv4 address inside v4-mapped and NAT64 forms."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return IPv4Address(address.packed[-4:])
    return address


def is_allowed(address: IPv4Address | IPv6Address, *, allow_loopback: bool = False) -> bool:
    """Return whether we may connect to a resolved address; loopback only where the local stack allows it."""
    real = reaches(address)
    if real.version == 4:
        if allow_loopback and real in _LOOPBACK[0]:
            return True
        return not any(real in network for network in _REFUSED_IPV4)
    if allow_loopback and real in _LOOPBACK[1]:
        return True
    return real.scope_id is None and not any(real in network for network in _REFUSED_IPV6)


def what_is_wrong_with(url: str, *, allow_loopback: bool = False) -> str | None:
    """Return in a few words why the form of a URL is refused; None if it may be called. Says nothing about where it resolves."""
    if len(url) > URL_LIMIT:
        return f"longer than {URL_LIMIT} characters"
    if any(not "!" <= character <= "~" or character == "\\" for character in url):
        return "only printable ASCII without spaces and backslashes"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "not a URL"
    if parts.username is not None or parts.password is not None or "@" in parts.netloc:
        return "no user information"
    if parts.fragment or url.endswith("#"):
        return "no fragment"
    local = allow_loopback and _names_loopback(parts.hostname or "")
    if parts.scheme != "https" and not (local and parts.scheme == "http"):
        return "https only"
    if port not in {None, 443} and not local:
        return "port 443 only"
    return None if local else _what_is_wrong_with_host(parts.hostname or "")


def _what_is_wrong_with_host(host: str) -> str | None:
    if ":" in host:
        return "a name, not an address"
    if _HOST.fullmatch(host) is None or len(host) > 253:
        return "not a host name"
    if _ALL_DIGITS.fullmatch(host.rpartition(".")[2]):
        return "a name, not an address"
    if "." not in host or host.lower().endswith((".localhost", ".local", ".internal")):
        return "a public host name"
    return None


def _names_loopback(host: str) -> bool:
    return host in {"127.0.0.1", "::1", "localhost"}
