"""Where an outbound call may go: https, no tricks in the address, and a host on the public internet. Pure.

`ipaddress.is_global` is no such filter: it lets NAT64 and 6to4 forms of loopback pass, among others. The tables hold
every block of the IANA special-purpose registries (https://www.iana.org/assignments/iana-ipv4-special-registry and
iana-ipv6-special-registry), also those said to be globally reachable, and what Svix and smokescreen refuse.
"""

import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final
from urllib.parse import urlsplit

URL_LIMIT: Final = 2048

_REFUSED_IPV4: Final = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "168.63.129.16/32", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15",
        "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
    )
)  # fmt: skip
"""The registry, multicast, and the one public address at which a cloud (Azure) answers its own machines."""
_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")
"""All that IANA has given out (iana-ipv6-address-space): what lies outside is refused whole, whatever it embeds."""
_REFUSED_IPV6: Final = tuple(
    IPv6Network(network) for network in ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20")
)
"""The registry inside global unicast. Teredo (2001::/32) and 6to4 (2002::/16) are refused whole: nothing is unwrapped from them."""
_NAT64: Final = IPv6Network("64:ff9b::/96")
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
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        return False
    if allow_loopback and _is_loopback(address):
        return True
    real = reaches(address)
    if isinstance(real, IPv4Address):
        return not any(real in network for network in _REFUSED_IPV4)
    return real in _GLOBAL_UNICAST and not any(real in network for network in _REFUSED_IPV6)


@lru_cache(maxsize=1024)
def what_is_wrong_with(url: str, *, allow_loopback: bool = False) -> str | None:
    """Return in a few words why the form of a URL is refused; None if it may be called. Says nothing about where it resolves."""
    if len(url) > URL_LIMIT:
        return f"longer than {URL_LIMIT} characters"
    if not url.isascii():
        return "only ASCII: an international name in its punycode form (xn--...), anything else percent-encoded"
    if any(not "!" <= character <= "~" or character == "\\" for character in url):
        return "no spaces, control characters or backslashes"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "not a URL"
    if "@" in parts.netloc:
        return "no user information"
    if "#" in url:
        return "no fragment"
    host = parts.hostname or ""
    local = allow_loopback and host in {"127.0.0.1", "::1", "localhost"}
    if parts.scheme != "https" and not (local and parts.scheme == "http"):
        return "https only"
    if port not in {None, 443} and not local:
        return "port 443 only"
    if "[" in parts.netloc and not local:
        return "a name, not an address"
    return None if local else _what_is_wrong_with_host(host)


def _what_is_wrong_with_host(host: str) -> str | None:
    if _HOST.fullmatch(host) is None or len(host) > 253:
        return "not a host name"
    if _ALL_DIGITS.fullmatch(host.rpartition(".")[2]):
        return "a name, not an address"
    if "." not in host or host.lower().endswith((".localhost", ".local", ".internal")):
        return "a public host name"
    return None


def _is_loopback(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped.is_loopback
    return address.is_loopback
