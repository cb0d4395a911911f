"""Bodies that do not hold are refused with a problem document (RFC 9457) that repeats nothing; bad input B11 to B15, B23, B38."""

import json
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.integration.frame.served import CANARY, GOOD, Client


def bad_bodies() -> Iterator[tuple[str, bytes, int, str]]:
    good = json.dumps(GOOD)

    def text(name: str, raw: str) -> bytes:
        return json.dumps(GOOD | {name: "@@"}).replace('"@@"', raw).encode()

    for name in GOOD:
        yield f"without {name}", json.dumps({key: value for key, value in GOOD.items() if key != name}).encode(), 422, "invalid-body"
        for wrong in (CANARY, [CANARY], {CANARY: CANARY}, None):
            if not (name in {"words"} and isinstance(wrong, list)):
                yield f"{name} {type(wrong).__name__}", json.dumps(GOOD | {name: wrong}).encode(), 422, "invalid-body"
    yield "unknown field", json.dumps(GOOD | {CANARY: 1}).encode(), 422, "invalid-body"
    yield "mass assignment", json.dumps(GOOD | {"_id": CANARY, "version": 9, "clinic": CANARY}).encode(), 422, "invalid-body"
    yield "unknown inner field", json.dumps(GOOD | {"inner": {**GOOD["inner"], CANARY: CANARY}}).encode(), 422, "invalid-body"
    yield "wrong inner", json.dumps(GOOD | {"answers": {CANARY: CANARY}}).encode(), 422, "invalid-body"
    yield "number as text", json.dumps(GOOD | {"count": "1"}).encode(), 422, "invalid-body"
    yield "text as number", json.dumps(GOOD | {"code": 7731}).encode(), 422, "invalid-body"
    yield "flag as number", json.dumps(GOOD | {"flag": 1}).encode(), 422, "invalid-body"
    yield "impossible date", json.dumps(GOOD | {"born": "2026-02-30"}).encode(), 422, "invalid-body"
    yield "no time zone", json.dumps(GOOD | {"when": "2026-01-01T10:00:00"}).encode(), 422, "invalid-body"
    yield "operator", json.dumps(GOOD | {"code": {"$gt": CANARY}}).encode(), 422, "invalid-body"
    yield "lone surrogate", text("note", f'"\\ud800{CANARY}"'), 422, "invalid-body"
    for constant in ("NaN", "Infinity", "-Infinity"):
        yield constant, text("ratio", constant), 400, "not-plain-json"
    yield "1e400", text("ratio", "1e400"), 422, "invalid-body"
    yield "dose 1e400", text("dose", '"1e400000"'), 422, "invalid-body"
    yield "dose NaN", text("dose", '"NaN"'), 422, "invalid-body"
    yield "many digits", text("count", "9" * 5000), 400, "not-plain-json"
    yield "double key", good.replace('"code"', f'"code": "{CANARY}", "code"', 1).encode(), 400, "double-key"
    yield "double inner key", text("answers", f'{{"{CANARY}": 1, "{CANARY}": 2}}'), 400, "double-key"
    yield "nested deeply", b'{"a":' * 2500 + f'"{CANARY}"'.encode() + b"}" * 2500, 400, "not-plain-json"
    yield "nested lists", b'{"a":' + b"[" * 9000 + b"]" * 9000 + b"}", 400, "not-plain-json"
    yield "nested a little too deeply", b'{"a":' + b"[" * 70 + b"]" * 70 + b"}", 400, "not-plain-json"
    yield "not an object", json.dumps([CANARY]).encode(), 400, "not-an-object"
    yield "a text", json.dumps(CANARY).encode(), 400, "not-an-object"
    yield "null", b"null", 400, "not-an-object"
    yield "nothing", b"", 400, "not-plain-json"
    yield "not JSON", CANARY.encode(), 400, "not-plain-json"
    yield "half", good[:40].encode() + CANARY.encode(), 400, "not-plain-json"
    yield "two objects", (good + good).encode(), 400, "not-plain-json"
    yield "not UTF-8", good.encode().replace(b"fine", b"\xff\xfe"), 400, "not-plain-json"
    yield "overlong UTF-8", good.encode().replace(b"fine", b"\xc0\xaf"), 400, "not-plain-json"
    yield "raw control", good.encode().replace(b"fine", b"fi\x00ne"), 400, "not-plain-json"
    yield "too large", json.dumps(GOOD | {"note": CANARY * 2000}).encode(), 413, "body-too-large"


async def test_bodies_that_do_not_hold_are_refused_and_nothing_is_echoed(client: Client, capfd: pytest.CaptureFixture[str]) -> None:
    case = await client.case()
    for name, body, status, slug in bad_bodies():
        answer = await client.send("POST", f"/cases/{case}/everything", body)
        assert answer.status == status, (name, answer.body)
        assert answer.slug == slug, name
        assert CANARY.encode() not in answer.body, name
        assert b"7731" not in answer.body, name
        assert len(answer.body) < 8000, name
    assert CANARY not in "".join(capfd.readouterr())
    assert (await client.get(f"/cases/{case}")).json()["version"] == 1
    assert (await client.post(f"/cases/{case}/everything", GOOD)).status == 200


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig", "utf-16-le"])
async def test_json_in_another_encoding_is_refused(client: Client, encoding: str) -> None:
    case = await client.case()
    answer = await client.send("POST", f"/cases/{case}/everything", json.dumps(GOOD).encode(encoding))
    assert answer.status in {400, 422}


async def test_other_media_types_are_refused(client: Client) -> None:
    case = await client.case()
    for media_type in (None, "text/plain", "application/x-www-form-urlencoded", f"application/{CANARY}", "application/jsonp"):
        answer = await client.post(f"/cases/{case}/everything", GOOD, content_type=media_type)
        assert (answer.status, answer.slug) == (415, "not-json"), media_type
    assert (await client.post(f"/cases/{case}/everything", GOOD, content_type="Application/JSON; charset=utf-8")).status == 200


async def test_a_body_that_grows_beyond_the_limit_without_saying_so_is_cut_off(client: Client) -> None:
    case = await client.case()

    async def drip() -> AsyncIterator[bytes]:
        for _ in range(50):
            yield b" " * 1000

    async with client.session.post(
        f"{client.base}/cases/{case}/everything",
        data=drip(),
        headers={"authorization": f"Bearer {client.token}", "content-type": "application/json", "idempotency-key": "drip"},
    ) as answer:
        assert answer.status == 413


async def test_nothing_sent_in_any_other_place_is_echoed(client: Client, capfd: pytest.CaptureFixture[str]) -> None:
    case = await client.case()
    answers = [
        await client.get(f"/cases/{CANARY}"),
        await client.get(f"/cases/{case}/{CANARY}"),
        await client.get(f"/{CANARY}"),
        await client.get(f"/cases?{CANARY}={CANARY}"),
        await client.get(f"/cases?status={CANARY}"),
        await client.get("/cases?clinic[$ne]=x"),
        await client.send("PROPFIND", f"/cases/{case}"),
        await client.send("DELETE", f"/cases/{case}"),
        await client.get(f"/cases/{case}", authorization=f"Bearer {CANARY}"),
        await client.get(f"/cases/{case}", authorization=CANARY),
        await client.post(f"/cases/{case}/facts", {"code": "one"}, idempotency_key=f"{CANARY} {CANARY}"),
        await client.post(f"/cases/{case}/facts", {"code": "one"}, if_match=CANARY),
        await client.post("/cases", {"clinic": CANARY, "patient": CANARY}),
        await client.get(f"/operations/heads?after={CANARY}"),
        await client.post(f"/operations/parked/{CANARY}/replay", {}),
    ]
    for answer in answers:
        assert 400 <= answer.status < 500, answer
        assert answer.slug
        assert CANARY.encode() not in answer.body
        assert not any(CANARY in value for value in answer.headers.values())
    assert CANARY not in "".join(capfd.readouterr())
