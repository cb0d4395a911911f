"""B25 and the table of refused addresses, each network on both of its edges."""

from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.webhooks.destinations import is_allowed, what_is_wrong_with

REFUSED = [
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24",
    "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
    "255.255.255.255/32", "::/128", "::1/128", "::/96", "64:ff9b:1::/48", "100::/64", "2001::/32", "2001:db8::/32", "2002::/16",
    "3fff::/20", "5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
]  # fmt: skip


@pytest.mark.parametrize("text", REFUSED)
def test_refused_networks(text: str) -> None:
    network: IPv4Network | IPv6Network = ip_network(text)
    assert not is_allowed(network[0])
    assert not is_allowed(network[-1])


@given(st.sampled_from([text for text in REFUSED if "." in text]), st.integers(0, 2**32 - 1))
def test_no_wrapping_makes_a_refused_ipv4_address_reachable(text: str, offset: int) -> None:
    network = ip_network(text)
    plain = network[offset % network.num_addresses]
    for wrapped in (f"::ffff:{plain}", f"64:ff9b::{plain}", f"::{plain}"):
        assert not is_allowed(ip_address(wrapped))
        assert not is_allowed(ip_address(plain))


@pytest.mark.parametrize(
    "text", ["1.1.1.1", "172.15.255.255", "172.32.0.0", "100.128.0.0", "2606:4700::1111", "64:ff9b::101:101", "::ffff:1.1.1.1"]
)
def test_public_addresses_are_allowed(text: str) -> None:
    assert is_allowed(ip_address(text))


@pytest.mark.parametrize(
    ("text", "allowed"), [("127.0.0.1", True), ("::1", True), ("::ffff:127.0.0.1", True), ("10.0.0.1", False), ("::2", False)]
)
def test_the_local_stack_reaches_loopback_and_nothing_else(text: str, allowed: bool) -> None:
    assert is_allowed(ip_address(text), allow_loopback=True) is allowed


def test_scoped_addresses_are_refused() -> None:
    assert not is_allowed(ip_address("2606:4700::1111%eth0"))


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


@given(st.text(max_size=60))
def test_any_text_is_judged(url: str) -> None:
    for candidate in (url, "https://" + url):
        what_is_wrong_with(candidate)
