"""Messages as no partner would send them, each with what must come of it. The same seed and number make the same message.

Four things can be wrong, and a message is wrong in one way at a time, so that what must come of it is known: who proves it (its headers,
its bytes or its signature were changed after it was signed: 401), what it says (it was signed as it is: 400, 413, 415 or 422), what it
asks for (another's case, a moment that is not: 404, 409), and how it is sent. About one in twenty is good.
"""

import base64
import gzip
import json
import random
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from shared.clock import system_now
from shared.webhooks.signing import PrivateKey, SharedSecret
from tests.faults.fuzzed_bytes import CANARY, evil_field, evil_value, flipped, respelled, twice, without
from tests.integration.partner_clinic import decision
from tests.integration.raw_http import Headers, in_chunks, request_of, signed

UNREADABLE: Final = frozenset({400, 413, 422})


@dataclass(frozen=True, slots=True)
class Sent:
    """One request, and what must come of it."""

    request: bytes
    expected: frozenset[int]
    recorded: str | None = None
    """The webhook id that must have led to a commit on a case."""
    kept: tuple[str, bytes] | None = None
    """(webhook id, body) that must be in quarantine."""
    same_as: str | None = None
    """The webhook id of the earlier message whose very answer must come back."""
    plain: bool = False
    """Not HTTP at all: the server itself answers, in plain text, and closes."""


@dataclass(frozen=True, slots=True)
class World:
    """What messages are made of."""

    keys: Sequence[PrivateKey]
    """The decision keys of the partner `north`."""
    stranger: PrivateKey
    """Of the partner `south`, which was never asked about any case."""
    secret: SharedSecret
    open_cases: Sequence[str]
    """Reviews that good messages decide, one each."""
    decoys: Sequence[str]
    """Open reviews of `north` that no message here may change."""
    used: Mapping[str, bytes] = field(default_factory=dict)
    """Webhook id -> body of messages that were recorded."""


class Draw:
    """The choices behind one message."""

    def __init__(self, seed: int, number: int, world: World) -> None:
        self.random = random.Random(f"{seed}/{number}")
        self.number = number
        self.world = world
        self.webhook_id = f"msg_{seed}_{number}_{self.random.getrandbits(32):08x}"
        self.path = b"/partners/north/decisions"

    def decoy(self) -> str:
        return self.random.choice(self.world.decoys)

    def body(self, case: str, **changed: Any) -> bytes:
        """A decision that would be taken, if it came from north, signed, now."""
        kind = self.random.choice(["eligible", "ineligible", "needs_clearance"])
        if kind == "needs_clearance":
            changed = {"items": ["cardiac"], **changed}
        return decision(case, kind=kind, **{"reasons": [CANARY], **changed})

    def headers(self, body: bytes, key: PrivateKey | SharedSecret | None = None, webhook_id: str | None = None) -> Headers:
        stamp = b"%d" % (int(system_now().timestamp()) + self.random.randint(-200, 200))
        return signed(key or self.random.choice(self.world.keys), (webhook_id or self.webhook_id).encode(), stamp, body)

    def post(self, headers: Headers, body: bytes, expected: set[int] | frozenset[int], **more: Any) -> Sent:
        """A request whose length is said, among headers that mean nothing here."""
        noise: Headers = [(b"X-Name", CANARY.encode()), (b"Content-Type", b"application/json"), (b"Accept", b"*/*;q=" + CANARY.encode())]
        extra = self.random.sample(noise, self.random.randint(0, 3))
        length = [(b"Content-Length", b"%d" % len(body))]
        return Sent(request_of(self.path, [*extra, *headers, *length], body), frozenset(expected), **more)


def good(draw: Draw) -> Sent:
    """A message as one may send it: spelled, chunked and signed in any way that is allowed."""
    body = draw.body(draw.world.open_cases[draw.number])
    if draw.random.random() < 0.4:
        message = json.loads(body)
        message["data"]["reasons"] = [CANARY, "other"]
        body = json.dumps(message, indent=draw.random.choice([None, 1, "\t"]), sort_keys=True).encode()
    headers = draw.headers(body)
    if draw.random.random() < 0.3:
        others = [b"v1,AAAA", b"v1a," + base64.b64encode(draw.random.randbytes(64)), headers[2][1], b"v9z,QQ=="]
        draw.random.shuffle(others)
        headers[2] = (headers[2][0], b" ".join(others))
    headers = [(name.title() if draw.random.random() < 0.5 else name, value) for name, value in headers]
    draw.random.shuffle(headers)
    if draw.random.random() < 0.2:
        draw.path += b"?x=" + CANARY.encode()
    match draw.random.randrange(4):
        case 0:
            sizes = [draw.random.randint(1, 900) for _ in range(5)]
            chunked: Headers = [*headers, (b"Transfer-Encoding", b"chunked")]
            request = request_of(draw.path, chunked, in_chunks(body, sizes, [(b"X-Trailer", CANARY.encode())]))
            return Sent(request, frozenset({200}), recorded=draw.webhook_id)
        case 1:
            headers.append((b"Content-Encoding", b"identity"))
        case _:
            pass
    return draw.post(headers, body, {200}, recorded=draw.webhook_id)


def repeated(draw: Draw) -> Sent:
    """A message that was recorded, with a fresh timestamp."""
    webhook_id = draw.random.choice(list(draw.world.used))
    body = draw.world.used[webhook_id]
    return draw.post(draw.headers(body, webhook_id=webhook_id), body, {200}, same_as=webhook_id)


def equivocation(draw: Draw) -> Sent:
    """Anything else, signed, under a webhook id that was recorded."""
    webhook_id = draw.random.choice(list(draw.world.used))
    used = draw.world.used[webhook_id]
    body = draw.random.choice([used + b" ", flipped(draw.random, used), draw.body(draw.decoy()), draw.random.randbytes(30), b"", b"{}"])
    return draw.post(draw.headers(body, webhook_id=webhook_id), body, {409}, kept=(webhook_id, body))


def out_of_turn(draw: Draw) -> Sent:
    """A request number that was never asked, of a case that is north's: recorded, and it changes nothing."""
    body = draw.body(draw.decoy(), request=draw.random.randint(2, 1_000_000))
    return draw.post(draw.headers(body), body, {409}, recorded=draw.webhook_id)


def of_a_stranger(draw: Draw) -> Sent:
    """A case of another, or none at all."""
    if draw.random.random() < 0.5:
        draw.path = b"/partners/south/decisions"
        body = draw.body(draw.decoy())
        return draw.post(draw.headers(body, draw.world.stranger), body, {404})
    body = draw.body(f"case-{draw.random.getrandbits(128):032x}")
    return draw.post(draw.headers(body), body, {404})


def altered_after_signing(draw: Draw) -> Sent:
    """The bytes are not those that were signed."""
    body = draw.body(draw.decoy())
    changes: list[Callable[[], bytes]] = [
        lambda: flipped(draw.random, body),
        lambda: json.dumps(json.loads(body), separators=(",", ":")).encode(),
        lambda: body + draw.random.choice([b"\n", b" ", b"\x00", b"{}"]),
        lambda: b"\xef\xbb\xbf" + body,
        lambda: gzip.compress(body),
        lambda: body.decode().encode("utf-16"),
        lambda: body.replace(b'"request": 1', b'"request": 01'),
        lambda: draw.body(draw.decoy(), reasons=["forged"]),
        lambda: b"",
    ]
    return draw.post(draw.headers(body), draw.random.choice(changes)(), {401})


def altered_headers(draw: Draw) -> Sent:
    """A header is missing, there twice, or says what was not signed."""
    body = draw.body(draw.decoy())
    headers = draw.headers(body)
    which = draw.random.randrange(3)
    name, value = headers[which]
    match draw.random.randrange(4):
        case 0:
            del headers[which]
        case 1:
            headers.insert(draw.random.randrange(4), (name.upper(), draw.random.choice([value, CANARY.encode(), b""])))
        case 2:
            headers[which] = (name, draw.headers(body, webhook_id="msg_" + uuid.uuid4().hex)[which][1] if which == 0 else b"")
        case _:
            headers[which] = (name, evil_value(draw.random, value))
    return draw.post(headers, body, {401})


def altered_signature(draw: Draw) -> Sent:
    """The signature is another one, or the same in another spelling."""
    body = draw.body(draw.decoy())
    headers = draw.headers(body)
    others: list[PrivateKey | SharedSecret] = [draw.world.stranger, draw.world.secret, PrivateKey(draw.random.randbytes(32))]
    wrong = [respelled(draw.random, headers[2][1]), draw.headers(body, draw.random.choice(others))[2][1]]
    headers[2] = (headers[2][0], draw.random.choices(wrong, [6, 1])[0])
    return draw.post(headers, body, {401})


def signed_nonsense(draw: Draw) -> Sent:
    """Signed as it is, of an open review: what it says cannot be read, or is no decision."""
    body = draw.body(draw.decoy())
    text = CANARY.encode()
    changes: list[Callable[[], bytes]] = [
        lambda: evil_field(draw.random, body),
        lambda: evil_field(draw.random, body),
        lambda: twice(draw.random, body),
        lambda: body.replace(b'"data": {', b'"data": {"' + text + b'": 1, ', 1),
        lambda: body.replace(b'{"type"', b'{"' + text + b'": {"a": 1}, "type"', 1),
        lambda: without(draw.random, body),
        lambda: body.decode().encode(draw.random.choice(["utf-16", "utf-16-le", "utf-32"])),
        lambda: b"\xef\xbb\xbf" + body,
        lambda: body + body,
        lambda: b"[" + body + b"]",
        lambda: body[: draw.random.randrange(len(body))],
        lambda: gzip.compress(body),
        lambda: draw.random.randbytes(draw.random.randint(0, 200)),
        lambda: body + b" " * (65_537 - len(body)),
        lambda: body[:-1] + b',"' + text * 3_000 + b'":1}',
        lambda: b"",
    ]
    changed = draw.random.choice(changes)()
    return draw.post(draw.headers(changed), changed, UNREADABLE)


def signed_wild(draw: Draw) -> Sent:
    """Signed as it is, of no case: any bytes may be changed, so what it says may still hold, and there is nothing to change by it."""
    body = flipped(draw.random, draw.body(f"case-{draw.random.getrandbits(128):032x}"))
    return draw.post(draw.headers(body), body, UNREADABLE | {404})


def encoded(draw: Draw) -> Sent:
    """Packed, or said to be."""
    plain = draw.body(draw.decoy())
    body = draw.random.choice([plain, gzip.compress(plain)])
    encoding = draw.random.choice([b"gzip", b"br", b"deflate", b"identity, gzip", b"x-" + CANARY.encode(), b"\xff"])
    return draw.post([*draw.headers(body), (b"Content-Encoding", encoding)], body, {415})


def astray(draw: Draw) -> Sent:
    """To a path that is not north's, or by a method that is none here."""
    body = draw.body(draw.decoy())
    headers = draw.headers(body)
    canary = CANARY.encode()
    elsewhere: list[tuple[bytes, int]] = [
        (b"/partners/south/decisions", 401),
        (b"/partners/" + canary + b"/decisions", 401),
        (b"/partners/" + canary + b"%2e/decisions", 401),
        (b"/partners/X-" + canary + b"/decisions", 401),
        (b"/partners/NORTH/decisions", 401),
        (b"/partners/north%00/decisions", 401),
        (b"/partners/%ff%fe/decisions", 401),
        (b"/partners/" + b"n" * 5_000 + b"/decisions", 401),
        (b"/partners/north%2f/decisions", 404),
        (b"/partners/../partners/north/decisions", 404),
        (b"/partners//decisions", 404),
        (b"/partners/north/decisions/", 404),
        (b"/partners/north/" + canary, 404),
        (b"//partners/north/decisions", 404),
    ]
    draw.path, status = draw.random.choice(elsewhere)
    sent = draw.post(headers, body, {status})
    if draw.random.random() < 0.2:
        method = draw.random.choice([b"PUT", b"PATCH", b"DELETE", b"TRACE", b"OPTIONS"])
        draw.path = b"/partners/north/decisions"
        return Sent(method + draw.post(headers, body, set()).request[4:], frozenset({405}))
    return sent


def no_http(draw: Draw) -> Sent:
    """Not HTTP: a control character in a header, a length that is none, two lengths."""
    body = draw.body(draw.decoy())
    extra = draw.random.choice(
        [
            [(b"X-Name", CANARY.encode() + b"\x00")],
            [(b"X-Na me", CANARY.encode())],
            [(b"Content-Length", b"1")],
            [(b"Content-Length", b"-1")],
            [(b"Content-Length", CANARY.encode())],
            [(b"Transfer-Encoding", b"chunked"), (b"Content-Length", b"%d" % len(body))],
        ]
    )
    return Sent(
        request_of(draw.path, [*extra, *draw.headers(body), (b"Content-Length", b"%d" % len(body))], body), frozenset({400}), plain=True
    )


KINDS: Final[Mapping[str, tuple[int, Callable[[Draw], Sent]]]] = {
    "repeated": (2, repeated),
    "equivocation": (2, equivocation),
    "out of turn": (2, out_of_turn),
    "of a stranger": (4, of_a_stranger),
    "altered after signing": (16, altered_after_signing),
    "altered headers": (16, altered_headers),
    "altered signature": (18, altered_signature),
    "signed nonsense": (18, signed_nonsense),
    "signed wild": (8, signed_wild),
    "encoded": (3, encoded),
    "astray": (5, astray),
    "no HTTP": (1, no_http),
}
"""What else than good, and how often."""
GOOD_EVERY: Final = 20


def messages(seed: int, count: int, world: World) -> Iterator[tuple[int, str, Sent]]:
    """So many messages, each with its number and its kind; every twentieth is good."""
    names, weights = list(KINDS), [weight for weight, _ in KINDS.values()]
    for number in range(count):
        draw = Draw(seed, number, world)
        if number % GOOD_EVERY == 0:
            draw.number = number // GOOD_EVERY
            yield number, "good", good(draw)
        else:
            (name,) = draw.random.choices(names, weights)
            yield number, name, KINDS[name][1](draw)
