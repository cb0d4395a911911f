"""B25 and the table of refused addresses, each network on both of its edges and beyond them.

The networks here are typed from their sources, not taken from the code: the IANA special-purpose registries for IPv4 and
IPv6, every row of them, and what Svix and smokescreen refuse besides.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from yarl import URL

from shared.webhooks.destinations import is_allowed, what_is_wrong_with

REGISTRY_IPV4 = [
    "0.0.0.0/8",
    "0.0.0.0/32",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.0.0/29",
    "192.0.0.8/32",
    "192.0.0.9/32",
    "192.0.0.10/32",
    "192.0.0.170/32",
    "192.0.0.171/32",
    "192.0.2.0/24",
    "192.31.196.0/24",
    "192.52.193.0/24",
    "192.88.99.0/24",
    "192.88.99.2/32",
    "192.168.0.0/16",
    "192.175.48.0/24",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "240.0.0.0/4",
    "255.255.255.255/32",
]
OTHER_IPV4 = ["224.0.0.0/4", "168.63.129.16/32"]
"""Multicast (RFC 5771); Azure's platform address, public in form and answered to virtual machines alone."""
REGISTRY_IPV6 = [
    "::1/128",
    "::/128",
    "::ffff:0:0/96",
    "64:ff9b:1::/48",
    "100::/64",
    "100:0:0:1::/64",
    "2001::/23",
    "2001::/32",
    "2001:1::1/128",
    "2001:1::2/128",
    "2001:1::3/128",
    "2001:2::/48",
    "2001:3::/32",
    "2001:4:112::/48",
    "2001:10::/28",
    "2001:20::/28",
    "2001:30::/28",
    "2001:db8::/32",
    "2002::/16",
    "2620:4f:8000::/48",
    "3fff::/20",
    "5f00::/16",
    "fc00::/7",
    "fe80::/10",
]
"""Without 64:ff9b::/96, through which IPv4 is reached where there is none: there the address inside counts."""
OTHER_IPV6 = ["::/96", "::ffff:0:0:0/96", "fec0::/10", "ff00::/8", "::/3", "4000::/2", "8000::/1"]
"""IPv4-compatible, IPv4-translated (RFC 2765), site-local (RFC 3879), multicast; and all but global unicast (RFC 4291 2.4)."""
REFUSED = [*REGISTRY_IPV4, *OTHER_IPV4, *REGISTRY_IPV6, *OTHER_IPV6]

ALLOWED_NEIGHBOURS = [
    "1.0.0.0",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "168.63.129.15",
    "168.63.129.17",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "191.255.255.255",
    "192.0.1.0",
    "192.0.1.255",
    "192.0.3.0",
    "192.31.195.255",
    "192.31.197.0",
    "192.52.192.255",
    "192.52.194.0",
    "192.88.98.255",
    "192.88.100.0",
    "192.167.255.255",
    "192.169.0.0",
    "192.175.47.255",
    "192.175.49.0",
    "198.17.255.255",
    "198.20.0.0",
    "198.51.99.255",
    "198.51.101.0",
    "203.0.112.255",
    "203.0.114.0",
    "223.255.255.255",
    "2000::",
    "2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "2001:200::",
    "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff",
    "2001:db9::",
    "2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "2003::",
    "2620:4f:7fff:ffff:ffff:ffff:ffff:ffff",
    "2620:4f:8001::",
    "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "3fff:1000::",
    "3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
]
"""One below and one above each network, where that lies in no other: by hand."""


@pytest.mark.parametrize("text", REFUSED)
def test_networks_are_refused_from_the_first_address_to_the_last(text: str) -> None:
    network: IPv4Network | IPv6Network = ip_network(text)
    assert not is_allowed(network[0])
    assert not is_allowed(network[-1])


@pytest.mark.parametrize("text", ALLOWED_NEIGHBOURS)
def test_their_neighbours_are_not(text: str) -> None:
    assert is_allowed(ip_address(text))


def test_each_neighbour_that_is_in_no_refused_network_is_in_the_list() -> None:
    """The list above is whole: computed from the networks, by plain arithmetic."""
    networks = [ip_network(text) for text in REFUSED]
    edges: set[IPv4Address | IPv6Address] = set()
    for network in networks:
        kind, most = (IPv4Address, 2**32) if network.version == 4 else (IPv6Address, 2**128)
        around = (int(network[0]) - 1, int(network[-1]) + 1)
        edges |= {kind(number) for number in around if 0 <= number < most}
    outside = {edge for edge in edges if not any(edge in network for network in networks)}
    assert outside == {ip_address(text) for text in ALLOWED_NEIGHBOURS}


def embedded(inner: IPv4Address) -> dict[str, str]:
    """The forms of RFC 4291 2.5.5, RFC 6052, RFC 2765, RFC 3056 and RFC 4380 (5.: the client's address is inverted)."""
    number = int(inner)
    high, low = number >> 16, number & 0xFFFF
    return {
        "mapped": f"::ffff:{inner}",
        "NAT64": f"64:ff9b::{inner}",
        "compatible": f"::{inner}",
        "translated": f"::ffff:0:{inner}",
        "local NAT64": f"64:ff9b:1::{high:x}:{low:x}",
        "6to4": f"2002:{high:x}:{low:x}::1",
        "Teredo": f"2001:0:5db8:d822::{high ^ 0xFFFF:x}:{low ^ 0xFFFF:x}",
        "Teredo server": f"2001:0:{high:x}:{low:x}::a247:27dd",
    }


@given(st.sampled_from([*REGISTRY_IPV4, *OTHER_IPV4]), st.integers(0, 2**32 - 1))
def test_no_wrapping_makes_a_refused_ipv4_address_reachable(text: str, offset: int) -> None:
    network = IPv4Network(text)
    inner = network[offset % network.num_addresses]
    assert not is_allowed(inner)
    assert {form: is_allowed(ip_address(wrapped)) for form, wrapped in embedded(inner).items()} == dict.fromkeys(embedded(inner), False)


@given(st.ip_addresses(v=4))
@example(IPv4Address("1.1.1.1"))
def test_of_what_wraps_a_public_ipv4_address_only_what_reaches_it_is_allowed(inner: IPv4Address) -> None:
    """Mapped is that address; NAT64 is how it is reached where there is no IPv4. The rest are tunnels, refused whole."""
    assume(not any(inner in IPv4Network(text) for text in [*REGISTRY_IPV4, *OTHER_IPV4]))
    assert is_allowed(inner)
    assert {form for form, wrapped in embedded(inner).items() if is_allowed(ip_address(wrapped))} == {"mapped", "NAT64"}


@given(st.ip_addresses(v=6))
def test_ipv6_is_allowed_in_global_unicast_alone(address: IPv6Address) -> None:
    """The first three bits (RFC 4291 2.4) tell."""
    assume(address not in IPv6Network("::ffff:0:0/96") and address not in IPv6Network("64:ff9b::/96"))
    assert not (is_allowed(address) and int(address) >> 125 != 0b001)


@pytest.mark.parametrize("text", ["1.1.1.1", "2606:4700::1111", "64:ff9b::101:101", "::ffff:1.1.1.1"])
def test_public_addresses_are_allowed(text: str) -> None:
    assert is_allowed(ip_address(text))


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("127.0.0.1", True), ("127.255.255.255", True), ("::1", True), ("::ffff:127.0.0.1", True), ("10.0.0.1", False), ("::2", False),
        ("64:ff9b::7f00:1", False), ("::127.0.0.1", False), ("2002:7f00:1::1", False), ("::1%lo", False), ("0.0.0.0", False), ("::", False),
        ("169.254.169.254", False),
    ],
)  # fmt: skip
def test_the_local_stack_reaches_loopback_and_nothing_else(text: str, allowed: bool) -> None:
    """The loopback of a translator is not ours."""
    assert is_allowed(ip_address(text), allow_loopback=True) is allowed


@pytest.mark.parametrize("text", ["2606:4700::1111%eth0", "::ffff:1.1.1.1%eth0", "64:ff9b::101:101%1"])
def test_scoped_addresses_are_refused(text: str) -> None:
    assert not is_allowed(ip_address(text))


@pytest.mark.parametrize(
    "url",
    [
        "https://partner.example", "https://partner.example/hooks?tenant=7", "https://partner.example:443/hooks",
        "https://xn--prtner-bua.example/", "https://a.b-c.example.org/x%20y",
    ],
)  # fmt: skip
def test_public_https_is_allowed(url: str) -> None:
    assert what_is_wrong_with(url) is None


@pytest.mark.parametrize(
    "url",
    [
        "", "partner.example", "http://partner.example", "ftp://partner.example", "file:///etc/passwd", "https://", "https:///x",
        "https://user:pass@partner.example", "https://user@partner.example", "https://@partner.example", "https://partner.example:22",
        "https://partner.example:0", "https://partner.example:99999", "https://partner.example:x", "https://127.1", "https://0x7f.1",
        "https://2130706433", "https://0x7f000001", "https://0177.0.0.1", "https://①②⑦.⓪.⓪.①", "https://[::ffff:169.254.169.254]",
        "https://[64:ff9b::7f00:1]", "https://[2002:7f00:1::]", "https://[fe80::1%25eth0]", "https://8.8.8.8", "https://localhost",
        "https://localhost.", "https://partner.example.", "https://printer.local", "https://metadata.google.internal", "https://p\u0430rtner.example",
        "https://partner.example\\@evil.example", "https://partner.example#@evil.example", "https://partner.example/#",
        "https://part ner.example",
        "https://partner.example\n", "https://partner.example/" + "a" * 2049, "https://-partner.example", "https://a..example",
        "https://x.localhost", "https://[::1", "https://partner_x.example",
    ],
)  # fmt: skip
def test_b25_urls_that_are_refused(url: str) -> None:
    assert what_is_wrong_with(url) is not None


@pytest.mark.parametrize("url", ["http://127.0.0.1:9000/hooks", "http://localhost:9000", "http://[::1]:9000/x", "https://127.0.0.1:8443"])
def test_loopback_urls_in_the_local_stack_only(url: str) -> None:
    assert what_is_wrong_with(url) is not None
    assert what_is_wrong_with(url, allow_loopback=True) is None


@pytest.mark.parametrize("url", ["http://10.0.0.1/", "http://partner.example", "http://127.0.0.1@evil.example", "https://169.254.169.254"])
def test_the_local_stack_allows_nothing_else(url: str) -> None:
    assert what_is_wrong_with(url, allow_loopback=True) is not None


@pytest.mark.parametrize("url", ["https://p\u0430rtner.example/", "https://pr\u00e4xis.example/", "https://partner.example/pr\u00e4xis"])
def test_an_international_name_is_asked_for_in_its_punycode_form(url: str) -> None:
    """The words help whoever registers it, and repeat nothing of what they sent."""
    words = what_is_wrong_with(url)
    assert words is not None
    assert "punycode" in words
    assert words.isascii()


@pytest.mark.parametrize("url", ["https://[v1.partner.example]/", "https://[v1.x]:443/", "https://[partner.example]/"])
def test_no_brackets_around_a_name(url: str) -> None:
    """RFC 3986 has them for addresses of the future too, of which `urlsplit` makes a name."""
    assert what_is_wrong_with(url) is not None


PIECES = [
    "https", "http", "://", ":", "/", "//", "@", "\\", "?", "#", "%", "%2f", "%40", ".", "..", "[", "]", ";", "&", "=", "443", "22", "0",
    "1", "127.0.0.1", "partner.example", "evil.example", "localhost", "xn--prtner-bua", "EXAMPLE.com", "a", "-", "_", "+", "$", " ", "\t",
    "\u3002",
]  # fmt: skip
ANYTHING = st.lists(st.sampled_from(PIECES), max_size=14).map("".join)


WHERE = st.sampled_from(
    ["", "https://", "https://partner.example", "https://partner.example/", "https://partner.example?", "HTTPS://a.example:443"]
)


@given(WHERE, ANYTHING)
def test_what_is_allowed_is_read_alike_by_the_client(where: str, anything: str) -> None:
    """The client parses for itself (yarl): of what is let through it must see the same host and port."""
    url = where + anything
    if what_is_wrong_with(url) is not None:
        return
    client, judged = URL(url), urlsplit(url)
    assert (client.raw_host, client.port, client.scheme) == (judged.hostname, 443, "https")
    assert client.user is None
    assert client.password is None


@given(st.text(max_size=60))
def test_any_text_is_judged(url: str) -> None:
    for candidate in (url, "https://" + url):
        what_is_wrong_with(candidate)
