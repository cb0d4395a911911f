"""What can be done to good bytes: a body, a header's value, a signature. Whatever is returned is not what was given."""

import base64
import json
from random import Random
from typing import Final

CANARY: Final = "canary-zebulon-7731"
"""In whatever a sender may write freely: no answer, no log line, no metric and no clear byte of the store may hold it."""
ED25519_ORDER: Final = 2**252 + 27742317777372353535851937790883648493
ALPHABET: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
NO_NUMBERS: Final = (b"NaN", b"Infinity", b"-Infinity", b"01", b"+1", b".5", b"0x10", b"1_000", b"undefined", b"9" * 5_000)
NO_TEXT: Final = (b'"\xff"', b'"\xed\xa0\x80"', b'"\xc0\xaf"', b'"\x00"', b'"\n"', b"'x'", b'"\\x41"')
TOO_DEEP: Final = (b"[" * 5_000, b"[" * 500 + b"]" * 500, b'{"a":' * 300 + b"1" + b"}" * 300)
MISFITS: Final = (
    b"1e400",
    b"1e-400",
    b"-0.0",
    b"9" * 30,
    b'"\\ud800"',
    b'"\\u0000"',
    b'{"$gt": ""}',
    b'{"__proto__": {}}',
    b"{}",
    b"[]",
    b"null",
)
EVIL_VALUES: Final = (*NO_NUMBERS, *NO_TEXT, *TOO_DEEP, *MISFITS, b'"' + b"x" * 20_000 + b'"')
"""What no field of a decision takes."""
STRICT: Final = (b'"request": 1', b'"case": "', b'"decision": "', b'"reasons": [', b'"prescriber": "', b'"type": "', b'"timestamp": "')


def flipped(random: Random, body: bytes) -> bytes:
    """The bytes with some changed, added, left out or moved; never the same."""
    out = bytearray(body)
    while bytes(out) == body:
        for _ in range(random.randint(1, 4)):
            place = random.randrange(len(out) or 1)
            match random.randrange(5):
                case 0:
                    out[place : place + 1] = bytes([(out[place] if out else 0) ^ (1 << random.randrange(8))])
                case 1:
                    out[place:place] = random.randbytes(random.randint(1, 6))
                case 2:
                    del out[place : place + random.randint(1, 9)]
                case 3:
                    out = out[:place]
                case _:
                    out[place : place + 20] = reversed(out[place : place + 20])
    return bytes(out)


def evil_value(random: Random, value: bytes) -> bytes:
    """A header's value that is not the one it was; no whitespace at its ends, which belongs to no value (RFC 9110, 5.5)."""
    no_number = [b"-1", b"NaN", b"1e9", b"9" * 20, "٣٤".encode(), b"+" + value, b"0" + value, value + b".0"]
    no_id = [b"__proto__", b"$ne", b"a.b", b"../" + CANARY.encode(), CANARY.encode() * 40, b"'" + value]
    no_signature = [b"v1a,", b"x" * 9_000, b"\xff\xfe", value[:-1], value + b"1", value.swapcase() if value.swapcase() != value else b"x"]
    return random.choice(no_number + no_id + no_signature)


def respelled(random: Random, header: bytes) -> bytes:
    """The header of another signature, or of the same one in a spelling that nobody may use."""
    text = header.removeprefix(b"v1a,")
    raw = base64.b64decode(text)
    s = int.from_bytes(raw[32:], "little")
    last = ALPHABET.index(text[-3])
    spellings = [
        b"v1a," + text.rstrip(b"="),
        b"v1a," + text + b"=",
        b"v1a," + text[:-3] + bytes([ALPHABET[last | random.randint(1, 15)]]) + b"==",
        b"v1a," + text[:20] + random.choice([b" ", b"-", b"_", b"!", b"\t", b"%3d"]) + text[20:],
        b"v1a," + base64.b64encode(raw[:32] + (s + ED25519_ORDER).to_bytes(32, "little")),
        b"v1a," + base64.b64encode(raw[:32] + (s ^ (1 << random.randrange(250))).to_bytes(32, "little")),
        b"v1a," + base64.b64encode(bytes([raw[0] ^ 1]) + raw[1:]),
        b"v1a," + base64.b64encode(bytes(64)),
        b"v1a," + base64.b64encode(b"\x01" + bytes(63)),
        b"v1a," + base64.b64encode(raw + b"\x00"),
        b"v1a," + raw.hex().encode(),
        b"v1," + text,
        b"v1b," + text,
        b"V1a," + text,
        b"v1a:" + text,
        text,
        b"v1a," + text + b"  v1a," + text,
        b" ".join([b"v1a,AAAA"] * 16) + b" v1a," + text,
    ]
    return random.choice(spellings)


def evil_field(random: Random, body: bytes) -> bytes:
    """One of the fields that every decision needs holds what it cannot."""
    field_ = random.choice(STRICT)
    begin = body.index(field_) + field_.index(b":") + 2
    end = min(place for mark in (b", ", b"}") if (place := body.find(mark, begin)) >= 0)
    return body[:begin] + random.choice(EVIL_VALUES) + body[end:]


def twice(random: Random, body: bytes) -> bytes:
    """A key that is there twice, with another value, or spelled with an escape."""
    name = random.choice([b"decision", b"request", b"case", b"type", b"data", b"prescriber"])
    spelled = random.choice([name, b"\\u%04x" % name[0] + name[1:]])
    value = random.choice([b'"eligible"', b"1", b"null", b'"' + CANARY.encode() + b'"'])
    place = body.index(b'"' + name + b'": ')
    return body[:place] + b'"' + spelled + b'": ' + value + b", " + body[place:]


def without(random: Random, body: bytes) -> bytes:
    """A field that every decision needs is left out."""
    message = json.loads(body)
    part = random.choice([message, message["data"]])
    del part[random.choice(["type", "timestamp", "data"] if part is message else ["case", "request", "decision", "reasons", "prescriber"])]
    return json.dumps(message).encode()
