"""Webhooks as a sender makes them, and all the ways to spoil one: the bad inputs B1 to B7, and more of their kind.

Signed here with `hmac` and `cryptography` alone, so that a spoiled id or timestamp can be signed as well.
"""

import base64
import gzip
import hashlib
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from shared.webhooks.signing import PrivateKey, SharedSecret

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Message:
    """What arrives."""

    headers: Headers
    body: bytes

    def raw(self) -> list[tuple[bytes, bytes]]:
        return [(name.encode(), value.encode()) for name, value in self.headers]

    def header(self, name: str) -> str:
        """The last value of a header, as a dictionary would have it; empty if there is none."""
        return {known.lower(): value for known, value in self.headers}.get(name, "")


@dataclass(frozen=True)
class Draft:
    """What is to be signed, as it stands, sound or not."""

    webhook_id: str
    timestamp: str
    body: bytes

    def signed(self, keys: Sequence[SharedSecret | PrivateKey]) -> Message:
        content = f"{self.webhook_id}.{self.timestamp}.".encode() + self.body
        signatures = " ".join(_signature(key, content) for key in keys)
        headers = (("webhook-id", self.webhook_id), ("webhook-timestamp", self.timestamp), ("webhook-signature", signatures))
        return Message(headers, self.body)


def _signature(key: SharedSecret | PrivateKey, content: bytes) -> str:
    if isinstance(key, SharedSecret):
        return "v1," + base64.b64encode(hmac.new(key.key, content, hashlib.sha256).digest()).decode()
    return "v1a," + base64.b64encode(Ed25519PrivateKey.from_private_bytes(key.seed).sign(content)).decode()


Change = Callable[[str], str]

IDS: dict[str, Change] = {
    "empty": lambda text: "",
    "another": lambda text: text + "0",
    "of 128": lambda text: (text * 128)[:128],
    "of 129": lambda text: (text * 129)[:129],
    "dot": lambda text: f"{text}.1",
    "nul": lambda text: f"{text}\0",
    "line break": lambda text: f"{text}\r\nx: y",
    "line break after": lambda text: f"{text}\n",
    "blank": lambda text: f" {text}",
    "prototype": lambda text: "__proto__",
    "operator": lambda text: "$ne",
    "dash first": lambda text: f"-{text}",
    "path": lambda text: f"../{text}",
    "umlaut": lambda text: f"{text}ä",
}
TIMESTAMPS: dict[str, Change] = {
    "empty": lambda text: "",
    "word": lambda text: "hello",
    "no number": lambda text: "NaN",
    "infinite": lambda text: "inf",
    "exponent": lambda text: f"{text}e0",
    "fraction": lambda text: f"{text}.9",
    "no fraction": lambda text: f"{text}.0",
    "underscore": lambda text: f"{text[:1]}_{text[1:]}",
    "plus": lambda text: f"+{text}",
    "negative": lambda text: f"-{text}",
    "blanks": lambda text: f" {text} ",
    "line break": lambda text: f"{text}\n",
    "digits of Arabic": lambda text: text.translate({ord("0") + digit: 0x0660 + digit for digit in range(10)}),
    "digits of full width": lambda text: text.translate({ord("0") + digit: 0xFF10 + digit for digit in range(10)}),
    "zero in front": lambda text: f"0{text}",
    "hexadecimal": lambda text: f"{int(text):#x}" if text.isdecimal() else text,
    "of 13 digits": lambda text: "1" * 13,
    "of 20 digits": lambda text: "1" * 20,
    "301 s ago": lambda text: _moved(text, -301),
    "300 s ago": lambda text: _moved(text, -300),
    "299 s ago": lambda text: _moved(text, -299),
    "in 300 s": lambda text: _moved(text, 300),
    "in 301 s": lambda text: _moved(text, 301),
}
WRONG = "v1," + base64.b64encode(bytes(32)).decode()
SIGNATURES: dict[str, Change] = {
    "empty": lambda text: "",
    "scheme alone": lambda text: "v1",
    "nothing after the comma": lambda text: "v1,",
    "three parts": lambda text: "v1,a,b",
    "two commas": lambda text: text.replace(",", ",,"),
    "comma after": lambda text: f"{text},",
    "no comma": lambda text: text.replace(",", ""),
    "no scheme": lambda text: text.replace("v1,", "").replace("v1a,", ""),
    "other scheme": lambda text: text.replace("v1", "v2"),
    "capital scheme": lambda text: text.replace("v1", "V1"),
    "schemes swapped": lambda text: text.replace("v1a,", "v0,").replace("v1,", "v1a,").replace("v0,", "v1,"),
    "twice": lambda text: f"{text} {text}",
    "twice, two spaces": lambda text: f"{text}  {text}",
    "twice, a tab": lambda text: f"{text}\t{text}",
    "twice, a comma and a space": lambda text: f"{text}, {text}",
    "space before": lambda text: f" {text}",
    "space after": lambda text: f"{text} ",
    "line break after": lambda text: f"{text}\n",
    "a wrong one before": lambda text: f"{WRONG} {text}",
    "an unknown one before": lambda text: f"v2,AAAA {text}",
    "an unknown one before, malformed": lambda text: f"v2,* {text}",
    "no base64 before": lambda text: f"v1,* {text}",
    "no whole base64 before": lambda text: f"v1,A {text}",
    "beyond ASCII before": lambda text: f"v1,é {text}",
    "beyond ASCII after": lambda text: f"{text} v1,é",
    "one of 16": lambda text: " ".join([*[WRONG] * (15 - text.count(" ")), text]),
    "one of 17": lambda text: " ".join([*[WRONG] * (16 - text.count(" ")), text]),
    "8 KiB": lambda text: f"{text} v1,{'A' * 8192}",
    "4096 characters": lambda text: _filled(text, 4096),
    "4097 characters": lambda text: _filled(text, 4097),
    "an unknown one of the longest name before": lambda text: f"v222a,AAAA {text}",
    "an unknown one of a longer name before": lambda text: f"v2222a,AAAA {text}",
    "url-safe": lambda text: text.replace("+", "-").replace("/", "_"),
    "no padding": lambda text: text.replace("=", ""),
    "more padding": lambda text: f"{text}==",
    "text after the padding": lambda text: f"{text}.x",
    "junk inside": lambda text: f"{text[:12]}!!{text[12:]}",
    "line break inside": lambda text: f"{text[:12]}\n{text[12:]}",
    "unused bits": lambda text: " ".join(map(_other_unused_bits, text.split(" "))),
    "one character": lambda text: text[:-8] + ("A" if text[-8] != "A" else "B") + text[-7:],
    "cut to 16 bytes": lambda text: " ".join(entry[:-20] for entry in text.split(" ")),
}
BODIES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda body: b"",
    "one bit": lambda body: body[:-1] + bytes([body[-1] ^ 1]) if body else b"\x01",
    "line break after": lambda body: body + b"\n",
    "byte order mark": lambda body: b"\xef\xbb\xbf" + body,
    "serialised again": lambda body: body.replace(b": ", b":"),
    "compressed": lambda body: gzip.compress(body, mtime=0),
    "no UTF-8": lambda body: body + b"\xff",
}
PARTS = ("webhook-id", "webhook-timestamp", "webhook-signature")


def _moved(text: str, seconds: int) -> str:
    return str(int(text) + seconds) if text.isascii() and text.isdecimal() else text


def _filled(text: str, size: int) -> str:
    """One more entry, of a scheme that nobody knows, well-formed and as long as is left."""
    for scheme in ("v2", "v22", "v222", "v222a"):
        left = size - len(f"{text} {scheme},")
        if left % 4 == 0:
            return f"{text} {scheme},{'A' * left}"
    raise AssertionError


def _other_unused_bits(entry: str) -> str:
    """The same bytes in another base64: the bits of the last character that no byte has are set."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    text = entry.rstrip("=")
    if text == entry or text[-1] not in alphabet:
        return entry
    return text[:-1] + alphabet[alphabet.index(text[-1]) | 1] + entry[len(text) :]


def with_header(message: Message, name: str, change: Change) -> Message:
    return replace(message, headers=tuple((known, change(value) if known == name else value) for known, value in message.headers))


Drafting = Callable[[Draft], Draft]
Tampering = Callable[[Message], Message]


def _id(change: Change) -> Drafting:
    return lambda draft: replace(draft, webhook_id=change(draft.webhook_id))


def _timestamp(change: Change) -> Drafting:
    return lambda draft: replace(draft, timestamp=change(draft.timestamp))


def _header(name: str, change: Change) -> Tampering:
    return lambda message: with_header(message, name, change)


def _body(change: Callable[[bytes], bytes]) -> Tampering:
    return lambda message: replace(message, body=change(message.body))


def _without(name: str) -> Tampering:
    return lambda message: replace(message, headers=tuple(pair for pair in message.headers if pair[0] != name))


def _again(name: str, change: Change) -> Tampering:
    """The header once more, last, in capitals."""
    return lambda message: replace(message, headers=(*message.headers, (name.upper(), change(message.header(name)))))


def _renamed(change: Change) -> Tampering:
    return lambda message: replace(message, headers=tuple((change(name), value) for name, value in message.headers))


BEFORE_SIGNING: dict[str, Drafting] = {
    "nothing": lambda draft: draft,
    **{f"signed id: {name}": _id(change) for name, change in IDS.items()},
    **{f"signed timestamp: {name}": _timestamp(change) for name, change in TIMESTAMPS.items()},
}
"""Changes that the sender makes: the signature is over what they make."""
AFTER_SIGNING: dict[str, Tampering] = {
    **{f"id: {name}": _header("webhook-id", change) for name, change in IDS.items()},
    **{f"timestamp: {name}": _header("webhook-timestamp", change) for name, change in TIMESTAMPS.items()},
    **{f"signature: {name}": _header("webhook-signature", change) for name, change in SIGNATURES.items()},
    **{f"body: {name}": _body(change) for name, change in BODIES.items()},
    **{f"without {name}": _without(name) for name in PARTS},
    **{f"{name} again": _again(name, str) for name in PARTS},
    **{f"{name} again, another": _again(name, lambda text: text[:-1]) for name in PARTS},
    "names in capitals": _renamed(str.upper),
    "names of svix": _renamed(lambda name: name.replace("webhook-", "svix-")),
    "an id of svix beside": lambda message: replace(message, headers=(("svix-id", "msg_other"), *message.headers)),
}
"""Changes on the way: who makes them has no key."""
