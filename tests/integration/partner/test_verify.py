"""B1 to B7: messages that are not proven, whatever is wrong with them, have one answer, and those that are proven have theirs.

Expectations are those of the Standard Webhooks specification 1.0.0, stricter where two readings are possible: one spelling of a number,
one of base64, and each header once.
"""

import base64
import gzip
import json
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio

from shared.clock import system_now
from shared.service.runtime import Runtime
from shared.webhooks.signing import PrivateKey
from tests.integration.partner_clinic import Clinic, decision
from tests.integration.partner_stub import PartnerStub
from tests.integration.raw_http import Answer, Headers, Wire, in_chunks, request_of, signed, wire

pytestmark = pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
"""The development issuer signs with EdDSA, which newer texts call Ed25519."""

PATH = b"/partners/north/decisions"
NO_CASE = decision(f"case-{uuid.uuid4().hex}", kind="ineligible")
"""Of a case that never was: whoever proves the message is told so."""
ED25519_ORDER = 2**252 + 27742317777372353535851937790883648493
ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
"""Of base64: the last letter of 64 bytes carries two bits, and the lower four of it are zero."""
CANARY = b"canary7731"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def line(clinic: Clinic) -> AsyncIterator[Wire]:
    async with wire(clinic.port) as opened:
        yield opened


@pytest.fixture
def north(clinic: Clinic) -> PartnerStub:
    return clinic.partners["north"]


def now() -> bytes:
    return b"%d" % int(system_now().timestamp())


def an_id() -> bytes:
    return b"msg_" + uuid.uuid4().hex.encode()


def good(stub: PartnerStub, body: bytes = NO_CASE) -> Headers:
    return signed(stub.private, an_id(), now(), body)


def with_value(headers: Headers, name: bytes, value: bytes) -> Headers:
    return [(known, value if known == name else old) for known, old in headers]


def proven(answer: Answer) -> bool:
    """Whether the service believed the message; fails for any answer but the two."""
    assert CANARY not in answer.body
    assert answer.slug in {"not-found", "webhook-refused"}, answer
    return answer.slug == "not-found"


async def test_a_good_message_is_proven(line: Wire, north: PartnerStub) -> None:
    assert proven(await line.post(PATH, good(north), NO_CASE))


@pytest.mark.parametrize("missing", [0, 1, 2])
async def test_b1_without_any_of_the_three_headers_the_body_is_not_even_read(line: Wire, north: PartnerStub, missing: int) -> None:
    headers = good(north)
    del headers[missing]
    answer = await line.post(PATH, headers, NO_CASE)
    assert (answer.status, answer.problem["reason"]) == (401, "header-missing")
    # Announced and never sent: whoever waited for the body would wait for 15 seconds, and answer 408.
    answer = await line.exchange(request_of(PATH, [*headers, (b"Content-Length", b"2000")], b""))
    assert (answer.status, answer.problem["reason"]) == (401, "header-missing")
    await line.close()


@pytest.mark.parametrize(
    "timestamp",
    [
        b"hello",
        b"",
        b"NaN",
        b"1e9",
        b"%s.9",
        b"1_790000000",
        b"+%s",
        b"-%s",
        b"0%s",
        "٣٤".encode(),
        b"9" * 20,
        b"-1",
        b"0x6a",
        b"%s,",
        b"%s %s",
    ],
)
async def test_b2_a_timestamp_is_whole_seconds_in_plain_digits(line: Wire, north: PartnerStub, timestamp: bytes) -> None:
    stamp = timestamp.replace(b"%s", now())
    answer = await line.post(PATH, signed(north.private, an_id(), stamp, NO_CASE), NO_CASE)
    assert (answer.status, answer.problem["reason"]) == (401, "timestamp")


@pytest.mark.parametrize(("seconds", "reason"), [(-301, "too-old"), (-300, None), (300, None), (301, "too-new")])
async def test_b3_a_message_is_good_for_five_minutes_both_ways(
    line: Wire, north: PartnerStub, monkeypatch: pytest.MonkeyPatch, seconds: int, reason: str | None
) -> None:
    here = system_now()
    monkeypatch.setattr(Runtime, "system_clock", lambda _runtime: here)
    stamp = b"%d" % (int(here.timestamp()) + seconds)
    answer = await line.post(PATH, signed(north.private, an_id(), stamp, NO_CASE), NO_CASE)
    assert (answer.status, answer.problem.get("reason")) == ((404, None) if reason is None else (401, reason))


def malleable(signature: bytes) -> bytes:
    """The same signature with the group's order added to S, which RFC 8032 (5.1.7) forbids."""
    s = int.from_bytes(signature[32:], "little") + ED25519_ORDER
    return signature[:32] + s.to_bytes(32, "little")


@pytest.mark.parametrize(
    "change",
    [
        lambda _: b"",
        lambda _: b"v1a",
        lambda _: b"v1a,",
        lambda text: b"v1a," + text + b"," + text,
        lambda text: b"v2," + text,
        lambda text: b"v1," + text,
        lambda text: b"V1A," + text,
        lambda text: b"v1a, " + text,
        lambda text: b"v1a;" + text,
        lambda text: b" v1a," + text + b"  v1a," + text,
        lambda text: b"v1a," + text + b"\tv1a," + text,
        lambda text: b" ".join([b"v1a,AAAA"] * 16 + [b"v1a," + text]),
        lambda text: b"v1a," + text + b" v1a," + b"A" * 8192,
        lambda text: b"v1a," + text + b" v1a,\xc3\xa9",
        lambda text: b"v1a," + text.rstrip(b"="),
        lambda text: b"v1a," + text + b"=",
        lambda text: b"v1a," + text[:10] + b"!" + text[10:],
        lambda text: b"v1a," + text[:10] + b"\t" + text[10:],
        lambda text: b"v1a," + text[:-3] + bytes([ALPHABET[ALPHABET.index(text[-3]) | 1]]) + b"==",
        lambda text: b"v1a," + base64.urlsafe_b64encode(b"\xff" * 64),
        lambda text: b"v1a," + base64.b64encode(base64.b64decode(text) + b"\x00"),
        lambda text: b"v1a," + base64.b64encode(base64.b64decode(text)[:63]),
        lambda text: b"v1a," + base64.b64encode(malleable(base64.b64decode(text))),
        lambda text: b"v1a," + text.swapcase(),
    ],
)
async def test_b4_a_signature_has_one_spelling(line: Wire, north: PartnerStub, change: Any) -> None:
    headers = good(north)
    text = headers[2][1].removeprefix(b"v1a,")
    answer = await line.post(PATH, with_value(headers, b"webhook-signature", change(text)), NO_CASE)
    assert answer.status == 401
    assert not proven(answer)


async def test_b4_a_signature_may_stand_among_others(line: Wire, north: PartnerStub) -> None:
    headers = good(north)
    others = b" ".join([b"v1,AAAA", b"v1a,AAAA", b"v2,AAAA", headers[2][1], b"v99z,AAAA"])
    assert proven(await line.post(PATH, with_value(headers, b"webhook-signature", others), NO_CASE))


async def test_b5_a_shared_secret_proves_no_decision(line: Wire, north: PartnerStub) -> None:
    assert not proven(await line.post(PATH, signed(north.secret, an_id(), now(), NO_CASE), NO_CASE))


@pytest.mark.parametrize("repeated", [0, 1, 2])
async def test_b6_each_header_comes_once(line: Wire, north: PartnerStub, repeated: int) -> None:
    headers = good(north)
    answer = await line.post(PATH, [*headers, (headers[repeated][0].title(), headers[repeated][1])], NO_CASE)
    assert (answer.status, answer.problem["reason"]) == (401, "header-repeated")


@pytest.mark.parametrize(
    "webhook_id",
    [b"a.b", b"", b"x" * 129, b"__proto__", b"$ne", b"-a", b"a/b", b"a b", b"\xc3\xa9", b"a\tb", b'{"$gt":""}', b"../" + CANARY],
)
async def test_b6_an_id_is_letters_digits_and_dashes(line: Wire, north: PartnerStub, webhook_id: bytes) -> None:
    answer = await line.post(PATH, signed(north.private, webhook_id, now(), NO_CASE), NO_CASE)
    assert (answer.status, answer.problem["reason"]) == (401, "id")
    assert not proven(answer)


@pytest.mark.parametrize("byte", [b"\x00", b"\x01", b"\x7f"])
async def test_b6_a_control_character_in_a_header_never_reaches_the_service(line: Wire, north: PartnerStub, byte: bytes) -> None:
    answer = await line.post(PATH, signed(north.private, CANARY + byte, now(), NO_CASE), NO_CASE)
    # The server's own answer to what is not HTTP (RFC 9110, 5.5), or the one to an id that is none: 0x7f may pass a parser.
    assert answer.status in {400, 401}
    assert CANARY not in answer.body
    await line.close()


async def test_b6_a_line_break_in_a_header_begins_another_header(line: Wire, north: PartnerStub) -> None:
    headers = good(north)
    answer = await line.post(PATH, with_value(headers, b"webhook-id", headers[0][1] + b"\r\nwebhook-id: " + headers[0][1]), NO_CASE)
    assert (answer.status, answer.problem["reason"]) == (401, "header-repeated")


@pytest.mark.parametrize(
    "change",
    [
        lambda body: body[:-1] + bytes([body[-1] ^ 1]),
        lambda body: bytes([body[0] ^ 0x80]) + body[1:],
        lambda body: json.dumps(json.loads(body), separators=(",", ":")).encode(),
        lambda body: json.dumps(json.loads(body), sort_keys=True).encode(),
        lambda body: body + b"\n",
        lambda body: b"\xef\xbb\xbf" + body,
        lambda body: body + b"\x00",
        lambda body: body[:-1],
        lambda _: b"",
        gzip.compress,
        lambda body: in_chunks(body, [100]),
    ],
)
async def test_b7_what_was_signed_is_the_bytes(line: Wire, north: PartnerStub, change: Any) -> None:
    assert change(NO_CASE) != NO_CASE
    answer = await line.post(PATH, good(north), change(NO_CASE))
    assert (answer.status, answer.problem["reason"]) == (401, "signature-wrong")


@pytest.mark.parametrize("encoding", [b"gzip", b"br", b"identity, gzip", b"GZIP", b"chunked", b"\xff"])
async def test_b7_what_is_encoded_is_not_unpacked(line: Wire, north: PartnerStub, encoding: bytes) -> None:
    packed = gzip.compress(NO_CASE)
    for body in (NO_CASE, packed):
        answer = await line.post(PATH, [*good(north, body), (b"Content-Encoding", encoding)], body)
        assert (answer.status, answer.slug) == (415, "content-encoding")
    assert proven(await line.post(PATH, [*good(north), (b"Content-Encoding", b"identity")], NO_CASE))


@pytest.mark.parametrize("content_type", [b"", b"application/json; charset=utf-16", b"text/plain", b"multipart/form-data; boundary=x"])
async def test_b7_the_content_type_is_not_signed_and_says_nothing(line: Wire, north: PartnerStub, content_type: bytes) -> None:
    assert proven(await line.post(PATH, [*good(north), (b"Content-Type", content_type)], NO_CASE))


@pytest.mark.parametrize("sizes", [[1], [7, 100], [100_000]])
async def test_b7_chunks_are_the_same_bytes(line: Wire, north: PartnerStub, sizes: list[int]) -> None:
    chunked = [*good(north), (b"Transfer-Encoding", b"chunked")]
    assert proven(await line.exchange(request_of(PATH, chunked, in_chunks(NO_CASE, sizes))))
    other = in_chunks(NO_CASE + b" ", sizes)
    assert not proven(await line.exchange(request_of(PATH, chunked, other)))


@pytest.mark.parametrize("apart", [False, True])
async def test_b7_trailers_prove_nothing(line: Wire, north: PartnerStub, apart: bool) -> None:
    """A trailer adds nothing to the signed bytes; one that names a header of the three is that header again, or is not seen."""

    async def send(headers: Headers, trailers: Headers) -> Answer:
        head = request_of(PATH, [*headers, (b"Transfer-Encoding", b"chunked")], b"")
        body = in_chunks(NO_CASE, [500], trailers)
        return await (line.exchange(head, later=body) if apart else line.exchange(head + body))

    assert proven(await send(good(north), [(b"X-Checksum", CANARY)]))
    forged = signed(PrivateKey.generate(), an_id(), now(), NO_CASE)
    assert not proven(await send(forged, [(b"X-Checksum", CANARY)]))
    assert not proven(await send(with_value(good(north), b"webhook-id", an_id()), [good(north)[0]]))
    assert not proven(await send(forged, [good(north)[2]]))


async def test_who_is_not_known_and_what_is_not_proven_have_one_answer(clinic: Clinic, line: Wire, north: PartnerStub) -> None:
    case = await clinic.screened()
    stub, _ = await clinic.told()
    body = decision(case)
    stranger = signed(PrivateKey.generate(), an_id(), now(), body)
    unproven = [
        await line.post(b"/partners/%s/decisions" % slug, stranger, body)
        for slug in (stub.slug.encode(), b"nobody", b"Nobody", b"in-house", b"%2e%2e", b"$ne", b"x" * 2000, b"\xc3\xa9".hex().encode())
    ]
    assert {(answer.status, answer.body) for answer in unproven} == {(401, unproven[0].body)}
    at_once = system_now() - timedelta(seconds=1)
    assert (await clinic.decide(stub, b"not json", key=PrivateKey.generate(), at=at_once))[0] == 401
    assert (await clinic.state(case)).status == "in_review"


async def test_b10_another_partner_finds_no_such_review(clinic: Clinic) -> None:
    case = await clinic.screened()
    stub, notice = await clinic.told()
    (other,) = (one for one in clinic.partners.values() if one is not stub)
    before = await clinic.commits(case)
    assert (await clinic.decide(other, decision(case)))[0] == 404
    assert (await clinic.decide(stub, decision(case), path=other.slug))[0] == 401
    assert (await clinic.decide(other, decision(case), path=stub.slug))[0] == 401
    assert (await clinic.get(notice["data"]["review_url"], "partner", other.slug))[0] == 404
    assert (await clinic.get(notice["data"]["review_url"], "coordinator"))[0] == 403
    assert (await clinic.get(f"/cases/{case}", "coordinator", clinic="hillside"))[0] == 404
    assert (await clinic.state(case)).status == "in_review"
    assert await clinic.commits(case) == before
