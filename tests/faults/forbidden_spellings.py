"""How an address inside can be written so that a careless check does not know it again.

Forms: inet_aton(3) (short, hexadecimal and octal parts), RFC 4291 2.5.5 (IPv6 with an IPv4 address inside), RFC 6052 (NAT64),
RFC 3056 (6to4), RFC 4380 (Teredo), RFC 2765 (translated), RFC 6874 (zones in URLs), and characters that NFKC turns into digits and dots.
"""

from ipaddress import IPv4Address

INSIDE = ("127.0.0.1", "169.254.169.254", "10.0.0.1")
"""A service of the machine itself, a cloud's metadata, a neighbour."""

CIRCLED = str.maketrans("0123456789", "\u24ea\u2460\u2461\u2462\u2463\u2464\u2465\u2466\u2467\u2468")
FULLWIDTH = {code: code + 0xFEE0 for code in range(0x21, 0x7F)}
ARABIC = {ord(digit): 0x0660 + int(digit) for digit in "0123456789"}


def _numbers(address: IPv4Address) -> list[str]:
    a, b, c, d = address.packed
    whole = int(address)
    return [
        f"{address}",
        f"{whole}",
        f"0x{whole:x}",
        f"0X{whole:X}",
        f"0{whole:o}",
        f"0x{whole:08x}",
        f"00{whole:o}",
        f"{whole + 2**32}",
        f"0x{a:x}.0x{b:x}.0x{c:x}.0x{d:x}",
        f"0{a:o}.0{b:o}.0{c:o}.0{d:o}",
        f"{a:03}.{b:03}.{c:03}.{d:03}",
        f"0x{a:x}.{b}.0{c:o}.{d}",
        f"{a}.{whole & 0xFFFFFF}",
        f"0x{a:x}.{whole & 0xFFFFFF}",
        f"{a}.{b}.{whole & 0xFFFF}",
        f"{a}.{b}.0x{whole & 0xFFFF:x}",
        f"{a + 256}.{b}.{c}.{d}",
        f"{address}.",
        f"{whole}.",
        f"{address}".translate(CIRCLED),
        f"{address}".translate(FULLWIDTH),
        f"{address}".translate(ARABIC),
        f"{address}".replace(".", "\u3002"),
        f"{address}".replace(".", "\uff0e"),
        f"{whole}".translate(FULLWIDTH),
        "".join(f"%{ord(character):02x}" for character in f"{address}"),
        f"{a}%2e{b}%2e{c}%2e{d}",
        f"{a}.{b}.{c}.{d}%00",
        f"{a}.{b}.{c}.%{ord(str(d)[0]):x}",
    ]


def _bracketed(address: IPv4Address) -> list[str]:
    whole = int(address)
    high, low = whole >> 16, whole & 0xFFFF
    inverted = whole ^ 0xFFFFFFFF
    return [
        f"::ffff:{address}",
        f"::FFFF:{address}",
        f"::ffff:{high:x}:{low:x}",
        f"0:0:0:0:0:ffff:{high:x}:{low:x}",
        f"0000:0000:0000:0000:0000:ffff:{high:04x}:{low:04x}",
        f"::{address}",
        f"::{high:x}:{low:x}",
        f"::ffff:0:{high:x}:{low:x}",
        f"64:ff9b::{address}",
        f"64:ff9b::{high:x}:{low:x}",
        f"64:FF9B::{high:X}:{low:X}",
        f"64:ff9b:1::{high:x}:{low:x}",
        f"2002:{high:x}:{low:x}::",
        f"2002:{high:x}:{low:x}::1",
        f"2001:0:5db8:d822::{inverted >> 16:x}:{inverted & 0xFFFF:x}",
        f"::ffff:{address}%25eth0",
        f"::ffff:{address}%eth0",
        f"::ffff:{address}%1",
    ]


PLAIN_HOSTS = tuple(spelling for text in INSIDE for spelling in _numbers(IPv4Address(text)))
BRACKETED_HOSTS = (
    *(spelling for text in INSIDE for spelling in _bracketed(IPv4Address(text))),
    "::1",
    "::",
    "0:0:0:0:0:0:0:1",
    "::1%25lo",
    "::1%lo",
    "fe80::1",
    "fe80::1%25eth0",
    "fec0::1",
    "fc00::1",
    "fd00:ec2::254",
    "ff02::1",
    "5f00::1",
    "100::1",
    "100:0:0:1::1",
    "2001:2::1",
    "2001:db8::1",
    "3fff::1",
    "4000::1",
)
NAMES_OF_OURS = (
    "localhost",
    "LOCALHOST",
    "LocalHost",
    "localhost.",
    "localhost..",
    "x.localhost",
    "ip6-localhost",
    "localhost.localdomain",
    "metadata.google.internal",
    "kubernetes.default.svc",
    "printer.local",
    "vm",
    "xn--127-0-0-1.example",
    "127.0.0.1.nip.example",
    "7f000001.nip.example",
    "xn--local-host-",
    "l\u043ecalhost",
    "localhost".translate(FULLWIDTH),
    "lo\u00adcalhost",
    "loca\u200blhost",
    "0",
    "0.0.0.0",
    "0x0",
    "00",
    "255.255.255.255",
)
"""Names that a resolver may answer with an address inside, whatever they look like."""

HOSTS = (*PLAIN_HOSTS, *(f"[{host}]" for host in BRACKETED_HOSTS), *NAMES_OF_OURS)
"""As they stand in a URL."""

TRICKS = (
    "https://partner.example@127.0.0.1/",
    "https://partner.example:443@127.0.0.1/",
    "https://partner.example%40127.0.0.1/",
    "https://@127.0.0.1/",
    "https://127.0.0.1\\@partner.example/",
    "https://partner.example\\@127.0.0.1/",
    "https://127.0.0.1\\partner.example",
    "https:\\\\127.0.0.1/",
    "https://127.0.0.1#@partner.example/",
    "https://partner.example#@127.0.0.1/",
    "https://127.0.0.1?@partner.example/",
    "https://127.0.0.1;@partner.example",
    "https://127.0.0.1:80@partner.example:80/",
    "https://127.0.0.1 @partner.example/",
    "https:///127.0.0.1/",
    "https:/127.0.0.1/",
    "https:127.0.0.1",
    "//127.0.0.1/",
    "127.0.0.1",
    " https://127.0.0.1/",
    "\thttps://127.0.0.1/",
    "https://127.0.0.1\t/",
    "ht\ntps://127.0.0.1/",
    "https://127.0.0.1\r\nHost: x/",
    "\x00https://127.0.0.1/",
    "https://127.0.0.1\x00.partner.example/",
    "https://127.0.0.1%00.partner.example/",
    "https://127.0.0.1%2f.partner.example/",
    "https://127.0.0.1%23.partner.example/",
    "https://[::1]@partner.example/",
    "https://[::1].partner.example/",
    "https://partner.example[::1]/",
    "https://[::1",
    "https://[v1.127.0.0.1]/",
    "https://[127.0.0.1]/",
    "https://[::ffff:127.0.0.1]:443/",
    "https://127.0.0.1:443/",
    "https://127.0.0.1:80/",
    "https://127.0.0.1:22/",
    "https://127.0.0.1:0/",
    "https://127.0.0.1:65536/",
    "https://127.0.0.1:-1/",
    "https://127.0.0.1:\u0664\u0664\u0663/",
    "https://127.0.0.1:/",
    "http://127.0.0.1/",
    "HTTP://127.0.0.1/",
    "hTTpS://127.1/",
    "ftp://127.0.0.1/",
    "file:///etc/passwd",
    "file://127.0.0.1/etc/passwd",
    "gopher://127.0.0.1:6379/_INFO",
    "dict://127.0.0.1:11211/",
    "ws://127.0.0.1/",
    "unix:///run/docker.sock",
    "http+unix://%2frun%2fdocker.sock/",
    "data:,x",
    "javascript:0",
    "blob:https://127.0.0.1/",
    "https://localhost:8103/",
)
"""Whole URLs that parsers read differently, or that lead elsewhere than https on a public host."""

AS_ANSWERS = (*PLAIN_HOSTS, *BRACKETED_HOSTS)
"""As a resolver may give them for an innocent name: it is a stub that lies, so the text need be no address at all."""
