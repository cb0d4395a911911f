"""Tokens for partners over HTTP. Expectations: RFC 6749 (2.3.1, 3.2, 4.4, 5.1, 5.2), RFC 6750, bad input B20, B21 and B37."""

import base64
import hashlib
import logging
import uuid
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from services.prescriber.domain.partners.state import Credential, Organisation
from services.prescriber.partners.tokens import Client, PartnerTokens
from shared.access.tokens import TokenRefused
from shared.clock import system_now
from shared.events.partner import PartnerLeft, PartnerReturned
from tests import toy
from tests.integration.partner.clients import Credentials, ask, ask_token, issued, post_form, record, revoke, token_of
from tests.integration.partner_clinic import Clinic

pytestmark = pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
"""The development issuer signs with EdDSA, which newer texts call Ed25519."""

GRANT = ("grant_type", "client_credentials")


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


async def test_a_token_is_got_by_basic_and_in_the_body_and_opens_the_partners_routes(clinic: Clinic) -> None:
    north = await issued(clinic, "north")
    for form, headers in (
        ({}, north.basic),
        (north.form, None),
        ({"scope": "partner"}, north.basic),
        ({"client_id": north.client_id}, north.basic),
    ):
        status, answer = await ask_token(clinic, form, headers)
        assert status == 200, answer
        assert answer["headers"]["Cache-Control"] == "no-store"
        assert answer["headers"]["Content-Type"] == "application/json"
        assert set(answer) == {"access_token", "token_type", "expires_in", "scope", "headers"}
        assert (answer["token_type"], answer["expires_in"], answer["scope"]) == ("Bearer", 300, "partner")
        status, endpoints = await ask(clinic, answer["access_token"], "/partner/endpoints")
        assert (status, [one["endpoint"] for one in endpoints["endpoints"]]) == (200, ["main"])


async def test_a_secret_with_signs_is_taken_form_encoded_in_basic_and_as_it_is(clinic: Clinic) -> None:
    """RFC 6749, 2.3.1: form-encoded; many clients send it as it is. The secrets of these tests end in `+/`."""
    north = await issued(clinic, "north")
    encoded = north.secret.replace("+", "%2B").replace("/", "%2F")
    assert (await ask_token(clinic, headers=basic(north.client_id, encoded)))[0] == 200
    assert (await ask_token(clinic, headers=basic(north.client_id, north.secret)))[0] == 200


async def test_whoever_does_not_prove_itself_gets_one_answer(clinic: Clinic) -> None:
    north, south = await issued(clinic, "north"), await issued(clinic, "south")
    wrong: Sequence[tuple[dict[str, str], dict[str, str] | None]] = (
        ({}, basic(north.client_id, "wrong")),
        ({}, basic(f"north.{uuid.uuid4().hex[:8]}", north.secret)),
        ({}, basic("nobody.main", north.secret)),
        ({}, basic(south.client_id, north.secret)),
        ({}, basic("", "")),
        ({}, basic("\u00e9", "\u00e9")),
        ({}, basic("%FF", "%FF")),
        ({}, {"Authorization": "Basic !!!"}),
        ({}, {"Authorization": "Basic " + base64.b64encode(b"no colon").decode()}),
        ({}, {"Authorization": "Basic " + base64.b64encode(b"\xff\xfe:\xff").decode()}),
        ({}, {"Authorization": "Bearer " + await token_of(clinic, north)}),
        ({}, None),
        ({"client_id": north.client_id}, None),
        ({"client_id": north.client_id, "client_secret": ""}, None),
        ({"client_id": north.client_id, "client_secret": south.secret}, None),
        ({"client_id": "a" * 5000, "client_secret": "b"}, None),
        ({"client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer", "client_assertion": "a.b.c"}, None),
    )
    answers = [await ask_token(clinic, form, headers) for form, headers in wrong]
    assert [status for status, _ in answers] == [401] * len(wrong)
    assert all(answer == answers[0][1] for _, answer in answers)
    assert answers[0][1]["error"] == "invalid_client"
    assert answers[0][1]["headers"]["WWW-Authenticate"].startswith("Basic ")
    assert answers[0][1]["headers"]["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("parameters", "error"),
    [
        ([], "invalid_request"),
        ([("grant_type", "")], "invalid_request"),
        ([GRANT, GRANT], "invalid_request"),
        ([GRANT, ("scope", ""), ("scope", "partner")], "invalid_request"),
        ([GRANT, ("client_secret", "two ways at once")], "invalid_request"),
        ([GRANT, ("client_id", "north.another")], "invalid_request"),
        ([GRANT, *((f"p{n}", "x") for n in range(30))], "invalid_request"),
        ("grant_type=client_credentials&%FF=%FF", "invalid_request"),
        (b"grant_type=client_credentials&x=\xff", "invalid_request"),
        ([("grant_type", "password"), ("username", "a"), ("password", "b")], "unsupported_grant_type"),
        ([("grant_type", "refresh_token")], "unsupported_grant_type"),
        ([("grant_type", "authorization_code"), ("code", "x")], "unsupported_grant_type"),
        ([("grant_type", "Client_Credentials")], "unsupported_grant_type"),
        ([GRANT, ("scope", "admin")], "invalid_scope"),
        ([GRANT, ("scope", "partner partner")], "invalid_scope"),
        ([GRANT, ("scope", "partner admin")], "invalid_scope"),
        ([GRANT, ("scope", "system/*.cruds")], "invalid_scope"),
        ([GRANT, ("scope", "patient/*.dus")], "invalid_scope"),
        ([GRANT, ("scope", "PARTNER")], "invalid_scope"),
        ([GRANT, ("scope", "partner " * 500)], "invalid_scope"),
    ],
)
async def test_b21_a_request_that_does_not_hold_says_what_it_is(clinic: Clinic, parameters: Any, error: str) -> None:
    north = await issued(clinic, "north")
    headers = {**north.basic, "Content-Type": "application/x-www-form-urlencoded"}
    status, answer = await post_form(clinic, parameters, headers)
    assert (status, answer["error"]) == (400, error)
    assert answer["headers"]["Cache-Control"] == "no-store"
    assert answer["headers"]["WWW-Authenticate"] is None
    assert "access_token" not in answer


async def test_a_request_of_another_form_is_invalid(clinic: Clinic) -> None:
    north = await issued(clinic, "north")
    body = b"grant_type=client_credentials"
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    for headers in (
        {"Content-Type": "application/json"},
        {"Content-Type": "multipart/form-data; boundary=x"},
        {"Content-Type": "text/plain"},
    ):
        status, answer = await post_form(clinic, body, {**north.basic, **headers})
        assert (status, answer["error"]) == (400, "invalid_request")
    in_address = f"/partner/token?client_id={north.client_id}&client_secret=x"
    status, answer = await post_form(clinic, body, {**north.basic, **form}, path=in_address)
    assert (status, answer["error"]) == (400, "invalid_request")
    status, answer = await post_form(clinic, body + b"&x=" + b"y" * 9000, {**north.basic, **form})
    assert status == 413
    assert (await ask(clinic, None, "/partner/token"))[0] == 405
    charset = {"Content-Type": "application/x-www-form-urlencoded; charset=UTF-8"}
    assert (await post_form(clinic, body, {**north.basic, **charset}))[0] == 200


def made_here(clinic: Clinic, credentials: Credentials, age: timedelta, receipt_key: bytes | None = None) -> str:
    """A token as another instance of the service, whose clock tells another time, would make it."""
    settings = clinic.prescriber.settings
    known = Organisation(credentials.partner, "", ())
    tokens = PartnerTokens(
        clinic.intake.tokens, receipt_key or settings.receipt_key.get_secret_value(), lambda: (known,), lambda: system_now() - age
    )
    digest = hashlib.sha256(credentials.secret.encode()).hexdigest()
    return tokens.issue(Client(credentials.partner, Credential(credentials.name, credentials.client_id, digest)))


async def test_a_token_of_another_instance_is_taken_until_it_is_five_minutes_old(clinic: Clinic) -> None:
    north = await issued(clinic, "north")
    assert (await ask(clinic, made_here(clinic, north, timedelta(seconds=270)), "/partner/endpoints"))[0] == 200
    status, problem = await ask(clinic, made_here(clinic, north, timedelta(seconds=301)), "/partner/endpoints")
    assert (status, problem["type"]) == (401, "urn:kapcare:problem:token-refused")
    assert (await ask(clinic, made_here(clinic, north, timedelta(), b"another key of 32 bytes, no more"), "/partner/endpoints"))[0] == 401
    never = Credentials("north", "never", "never issued")
    assert (await ask(clinic, made_here(clinic, never, timedelta()), "/partner/endpoints"))[0] == 401


async def test_a_revoked_credential_ends_its_tokens_and_no_others(clinic: Clinic) -> None:
    first, second = await issued(clinic, "north"), await issued(clinic, "north")
    ended, good = await token_of(clinic, first), await token_of(clinic, second)
    assert (await ask(clinic, ended, "/partner/endpoints"))[0] == 200
    await revoke(clinic, first)

    async def refused() -> bool:
        return (await ask(clinic, ended, "/partner/endpoints"))[0] == 401

    await toy.eventually(refused)
    assert (await ask(clinic, good, "/partner/endpoints"))[0] == 200
    assert (await ask_token(clinic, headers=first.basic))[0] == 401


async def test_an_organisation_that_left_gets_no_tokens_and_its_tokens_end(clinic: Clinic) -> None:
    south = await issued(clinic, "south")
    token = await token_of(clinic, south)
    await record(clinic, "south", PartnerLeft(partner="south", reason="a test", left_at=system_now()))
    try:

        async def refused() -> bool:
            return (await ask(clinic, token, "/partner/endpoints"))[0] == 401

        await toy.eventually(refused)
        assert (await ask_token(clinic, headers=south.basic))[0] == 401
        of_issuer = clinic.token("partner", "south")
        for path, body in (
            ("/partner/endpoints", None),
            ("/partner/events", None),
            ("/partner/reviews", None),
            ("/partner/endpoints/test", {"endpoint": "main"}),
        ):
            status, problem = await ask(clinic, of_issuer, path, body)
            assert (status, problem["type"]) == (409, "urn:kapcare:problem:partner-left")
    finally:
        await record(clinic, "south", PartnerReturned(partner="south", returned_at=system_now()))


async def test_the_issuers_tokens_for_partners_stay_good(clinic: Clinic) -> None:
    assert (await ask(clinic, clinic.token("partner", "north"), "/partner/endpoints"))[0] == 200


async def test_a_partners_token_opens_nothing_else(clinic: Clinic) -> None:
    token = await token_of(clinic, await issued(clinic, "north"))
    for path in ("/cases", "/worklist", "/alerts", f"/cases/case-{'0' * 32}", "/operations/parked", "/operations/heads", "/partners"):
        assert (await ask(clinic, token, path))[0] in {403, 405}, path
    posts: Sequence[tuple[str, dict[str, str]]] = (("/partners", {}), (f"/cases/case-{'0' * 32}/holds", {}))
    for path, body in posts:
        assert (await ask(clinic, token, path, body))[0] == 403, path


async def test_other_services_refuse_a_partners_token(clinic: Clinic) -> None:
    """Intake has the same settings: the same receipt key, the same issuer."""
    token = await token_of(clinic, await issued(clinic, "north"))
    with pytest.raises(TokenRefused):
        await clinic.intake.tokens.principal(token)
    assert (await clinic.intake.tokens.principal(clinic.token("partner", "north"))).organisation == "north"


async def test_b37_failures_are_limited_for_each_address_and_client(clinic: Clinic) -> None:
    """Ten are let through, and what time gives back meanwhile; who is not known is told no sooner."""
    north, spare = await issued(clinic, "north"), await issued(clinic, "north")
    here, there = "127.1.2.3", "127.1.2.4"

    async def until_refused(client_id: str) -> tuple[int, dict[str, Any]]:
        for count in range(100):
            status, answer = await ask_token(clinic, headers=basic(client_id, "wrong"), address=here)
            if status != 401:
                return count, answer
        raise AssertionError("never limited")

    let_through, problem = await until_refused(north.client_id)
    assert let_through >= 10
    assert problem["type"] == "urn:kapcare:problem:too-many-failures"
    assert 1 <= int(problem["headers"]["Retry-After"]) <= 5
    assert (await ask_token(clinic, headers=north.basic, address=here))[0] == 429
    assert (await ask_token(clinic, headers=north.basic, address=there))[0] == 200
    assert (await ask_token(clinic, headers=spare.basic, address=here))[0] == 200
    unknown, the_same = await until_refused("nobody.main")
    assert unknown >= 10
    assert {**the_same, "headers": None} == {**problem, "headers": None}


async def test_no_secret_and_no_token_is_logged(clinic: Clinic, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="kapcare")
    north = await issued(clinic, "north")
    token = await token_of(clinic, north)
    await ask_token(clinic, headers=basic(north.client_id, north.secret + "x"))
    await ask_token(clinic, headers=basic("canary-client", "canary-secret"))
    await ask(clinic, token[:-2], "/partner/endpoints")
    logged = [str(entry.msg) for entry in caplog.records]
    assert any("a partner got a token" in line and north.name in line for line in logged)
    assert any("a request for a token was refused" in line for line in logged)
    for line in logged:
        for secret in (north.secret, token, token.rpartition(".")[2], "canary", north.basic["Authorization"].partition(" ")[2]):
            assert secret not in line
