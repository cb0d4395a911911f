"""B11 to B14: signed messages whose body does not hold. The partner proved who it is; what it says must still be plain, whole and typed."""

import uuid
from typing import Any

import pytest

from tests.integration.partner_clinic import Clinic, decision

pytestmark = pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
"""The development issuer signs with EdDSA, which newer texts call Ed25519."""


def replacing(old: bytes, new: bytes) -> Any:
    """One place of the message replaced."""

    def change(body: bytes) -> bytes:
        assert body.count(old) == 1, old
        return body.replace(old, new)

    return change


def doses(text: bytes) -> Any:
    return replacing(b'"doses": 2', b'"doses": ' + text)


def milligrams(text: bytes) -> Any:
    return replacing(b'"dose_mg_low": "100"', b'"dose_mg_low": ' + text)


PRESCRIBER = b'"dr-7"'


@pytest.mark.parametrize(
    ("change", "status", "slug"),
    [
        # B11: one key twice, at any depth, spelled alike or not
        (replacing(b'"decision": "eligible"', b'"decision": "ineligible", "decision": "eligible"'), 400, "double-key"),
        (replacing(b'"decision": "eligible"', b'"decision": "eligible", "\\u0064ecision": "ineligible"'), 400, "double-key"),
        (replacing(b'"type": "review.decided"', b'"type": "review.decided", "type": "review.decided"'), 400, "double-key"),
        (replacing(b'"systolic": 140', b'"systolic": 140, "systolic": 300'), 400, "double-key"),
        # B12: numbers that are none, or none that a dose can be
        (doses(b"NaN"), 400, "not-plain-json"),
        (doses(b"Infinity"), 400, "not-plain-json"),
        (doses(b"-Infinity"), 400, "not-plain-json"),
        (doses(b"1e400"), 422, "invalid-body"),
        (doses(b"2.0000000000000001"), 422, "invalid-body"),
        (doses(b"5e-324"), 422, "invalid-body"),
        (doses(b"-0"), 422, "invalid-body"),
        (doses(b"12345678901234567890123"), 422, "invalid-body"),
        (doses(b"9" * 5_000), 400, "not-plain-json"),
        (doses(b'"2"'), 422, "invalid-body"),
        (doses(b"true"), 422, "invalid-body"),
        (milligrams(b'"1e400"'), 422, "invalid-body"),
        (milligrams(b'"NaN"'), 422, "invalid-body"),
        (milligrams(b'"-0"'), 422, "invalid-body"),
        (milligrams(b'"12345678901234567890123"'), 422, "invalid-body"),
        (milligrams(b'"50 mg"'), 422, "invalid-body"),
        (milligrams(b"0.30000000000000004"), 422, "invalid-body"),
        (replacing(b'"request": 1', b'"request": 12345678901234567890123'), 422, "invalid-body"),
        (replacing(b'"request": 1', b'"request": "1"'), 422, "invalid-body"),
        (replacing(b'"request": 1', b'"request": 1.5'), 422, "invalid-body"),
        # B13: text that is none
        (lambda body: b"\xef\xbb\xbf" + body, 400, "not-plain-json"),
        (lambda body: body.decode().encode("utf-16"), 400, "not-plain-json"),
        (lambda body: body.decode().encode("utf-32-be"), 400, "not-plain-json"),
        (replacing(PRESCRIBER, b'"dr-\xff"'), 400, "not-plain-json"),
        (replacing(PRESCRIBER, b'"dr-\xc0\xaf"'), 400, "not-plain-json"),
        (replacing(PRESCRIBER, b'"dr-\xed\xa0\x80"'), 400, "not-plain-json"),
        (replacing(PRESCRIBER, b'"dr-\x00"'), 400, "not-plain-json"),
        (replacing(PRESCRIBER, b'"\\ud800"'), 422, "invalid-body"),
        (replacing(PRESCRIBER, b'"dr-\\u0000"'), 422, "invalid-body"),
        (replacing(PRESCRIBER, '"dr-\u202e7"'.encode()), 422, "invalid-body"),
        (replacing(PRESCRIBER, '"dr-\u200b7"'.encode()), 422, "invalid-body"),
        (replacing(PRESCRIBER, b'"' + b"d" * 30_000 + b'"'), 422, "invalid-body"),
        # B14: too much
        (lambda body: body + b" " * 65_536, 413, "body-too-large"),
        (replacing(PRESCRIBER, b'"' + b"d" * 1_000_000 + b'"'), 413, "body-too-large"),
        (replacing(PRESCRIBER, b"[" * 2_000 + b"]" * 2_000), 400, "not-plain-json"),
        (replacing(PRESCRIBER, b"[" * 20_000), 400, "not-plain-json"),
        (replacing(PRESCRIBER, b"{" + b",".join(b'"%d":0' % key for key in range(4_000)) + b"}"), 422, "invalid-body"),
        # B15 and the shape as a whole
        (lambda body: b"[" + body + b"]", 400, "not-an-object"),
        (lambda body: body + body, 400, "not-plain-json"),
        (lambda _: b"", 400, "not-plain-json"),
        (lambda _: b"null", 400, "not-an-object"),
        (lambda _: b"{}", 422, "invalid-body"),
        (replacing(b"review.decided", b"review.undecided"), 422, "invalid-body"),
        (replacing(PRESCRIBER, b'"dr-7", "status": "approved"'), 422, "invalid-body"),
        (replacing(PRESCRIBER, b"null"), 422, "invalid-body"),
        (replacing(b'"case-', b'"partner-'), 422, "invalid-body"),
        (replacing(b'"case-', b'"CASE-'), 422, "invalid-body"),
        (replacing(b'"case-', b'"../case-'), 422, "invalid-body"),
        (replacing(b'"decision": "eligible"', b'"decision": "Eligible"'), 422, "invalid-body"),
    ],
)
async def test_b11_b12_b13_b14_b15_signed_messages_that_do_not_hold(clinic: Clinic, change: Any, status: int, slug: str) -> None:
    stub = clinic.partners["north"]
    body = change(decision(f"case-{uuid.uuid4().hex}"))
    answer = await clinic.decide(stub, body)
    assert (answer[0], answer[1]["type"]) == (status, f"urn:kapcare:problem:{slug}"), answer
    assert "indication-met" not in str(answer[1])


async def test_an_id_under_which_nothing_was_recorded_stands_for_nothing(clinic: Clinic) -> None:
    """What cannot be read is refused without a record, so the partner may mend it and send it under the same id."""
    case = await clinic.screened()
    stub, _ = await clinic.told()
    body, webhook_id = decision(case), f"msg_{case}"
    assert (await clinic.decide(stub, body[:-1], webhook_id=webhook_id))[0] == 400
    assert (await clinic.decide(stub, body.replace(b'"dr-7"', b"7"), webhook_id=webhook_id))[0] == 422
    assert (await clinic.decide(stub, body, webhook_id=webhook_id))[0] == 200


async def test_b16_an_unknown_case_is_not_found(clinic: Clinic) -> None:
    assert (await clinic.decide(clinic.partners["north"], decision(f"case-{uuid.uuid4().hex}")))[0] == 404
