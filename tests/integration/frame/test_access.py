"""Who may do what over HTTP: RFC 9068 for tokens; bad input B20 and B22."""

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from joserfc.jwk import OctKey, RSAKey

from shared.access.decide import NETWORK_WIDE, ROLES, Permission
from shared.service.definition import Command, View
from tests.faults.injected import commits_of
from tests.integration.frame.served import (
    DEFINITION,
    GOOD,
    ISSUER,
    Client,
    Keys,
    b64,
    token,
)


async def test_a_case_of_another_clinic_does_not_exist_on_any_route(client: Client) -> None:
    """The same bytes for a case of another clinic, one that never was, and an id that is none."""
    foreign = await client.case("elsewhere")
    every_role = [role for role in ROLES if role not in {"admin", "auditor", "medical_director", "partner"}]
    client_token = f"Bearer {token(client.keys, roles=every_role)}"
    ids = (foreign, f"case-{'0' * 32}", "case-1", "..%2f..", "partner-unknown", "%00", "case-" + "A" * 32)
    rows: list[Command | View] = [*DEFINITION.commands, *DEFINITION.views]
    paths = [row.path for row in rows if "{case}" in row.path and row.permission not in NETWORK_WIDE]
    reachable = 0
    for path in paths:
        answers = []
        for name in ids:
            where = path.replace("{case}", name)
            if any(view.path == path for view in DEFINITION.views):
                answers.append(await client.get(where, authorization=client_token))
            else:
                content = GOOD if path.endswith("everything") else {"code": "one"}
                answers.append(await client.post(where, content, authorization=client_token))
        if answers[0].status == 403:
            continue  # the roles named above do not hold this permission at all
        reachable += 1
        assert {answer.status for answer in answers} == {404}, path
        assert len({answer.body for answer in answers[:3]}) == 1, path
    assert reachable >= 15
    assert len(await commits_of(client.runtime, foreign)) == 1
    listed = (await client.get("/cases?clinic=elsewhere")).json()["cases"]
    assert listed == []


async def test_nobody_begins_a_case_in_a_clinic_that_is_not_theirs(client: Client) -> None:
    answer = await client.post("/cases", {"clinic": "elsewhere", "patient": "p"})
    assert (answer.status, answer.slug) == (403, "not-your-clinic")


@pytest.mark.parametrize("role", ROLES)
async def test_each_role_may_do_what_its_permissions_say_and_nothing_else(client: Client, role: str) -> None:
    """Read off the care domain: who refers, screens, prescribes, doses, integrates, operates, audits."""
    may = {
        "coordinator": {
            "transfer",
            "refer",
            "screen",
            "consent",
            "stop",
            "read_case",
            "clear",
            "prepare",
            "account_for_supply",
            "integrate",
            "acknowledge",
            "read_alerts",
            "read_outcomes",
        },
        "therapist": {
            "refer",
            "screen",
            "consent",
            "stop",
            "read_case",
            "clear",
            "prepare",
            "record_care",
            "account_for_supply",
            "integrate",
            "acknowledge",
            "read_alerts",
            "open_emergency_access",
        },
        "prescriber": {
            "stop",
            "lift_hold",
            "read_case",
            "decide_eligibility",
            "decide_on_pressure",
            "authorise_dose",
            "record_care",
            "account_for_supply",
            "acknowledge",
            "read_alerts",
            "recall_lot",
            "open_emergency_access",
        },
        "medical_monitor": {
            "screen",
            "stop",
            "lift_hold",
            "read_case",
            "clear",
            "authorise_dose",
            "record_care",
            "account_for_supply",
            "acknowledge",
            "read_alerts",
            "recall_lot",
            "open_emergency_access",
            "review_emergency_access",
        },
        "medical_director": {"adopt_policy", "explain", "read_network_outcomes"},
        "auditor": {"explain", "query_ledger", "read_progress", "read_network_outcomes"},
        "admin": {"manage_partners", "read_progress", "operate", "read_alerts", "recall_lot"},
        "partner": {"review_as_partner"},
    }[role]
    case = await client.case()
    bearer = f"Bearer {token(client.keys, roles=[role])}"
    for permission in Permission:
        answer = await client.post(f"/cases/{case}/as/{permission.value}", {"code": permission.value}, authorization=bearer)
        expected = 200 if permission.value in may else 403
        if permission is Permission.REVIEW_AS_PARTNER and role == "partner":
            expected = 404  # a partner that the case is not assigned to
        assert answer.status == expected, permission


async def test_every_route_but_health_metrics_and_the_document_wants_a_token(client: Client) -> None:
    document = (await client.get("/openapi.json", authorization=None)).json()
    case = await client.case()
    for path, operations in document["paths"].items():
        for method in operations:
            answer = await client.send(method.upper(), path.replace("{case}", case).replace("{identity}", "x"), b"{}", authorization=None)
            if path.startswith("/health/"):
                assert answer.status == 200
            else:
                assert answer.status == 401, path
                assert answer.headers["www-authenticate"].startswith("Bearer")


def bad_tokens(keys: Keys) -> Iterator[tuple[str, str]]:
    now = int(time.time())
    good = token(keys)
    head, body, signature = good.split(".")

    def unsigned(header: dict[str, Any], signature: bytes) -> str:
        return f"{b64(json.dumps(header).encode())}.{body}.{b64(signature)}"

    yield "none", unsigned({"alg": "none", "typ": "at+jwt"}, b"")
    yield "none with a signature", unsigned({"alg": "none", "typ": "at+jwt", "kid": "ed"}, b"x")
    for algorithm in ("HS256", "HS512"):
        start = f"{b64(json.dumps({'alg': algorithm, 'typ': 'at+jwt', 'kid': 'rsa'}).encode())}.{body}"
        for secret in (RSAKey.import_key(keys.rsa.public_key()).as_pem(private=False), b"", b"null"):
            mac = hmac.new(secret, start.encode(), hashlib.sha256 if algorithm == "HS256" else hashlib.sha512)
            yield f"{algorithm} with a public key", f"{start}.{b64(mac.digest())}"
    stranger = Keys()
    yield "another's key", token(stranger)
    yield "key in the header", token(stranger, {"jwk": json.loads(json.dumps(stranger.public()["keys"][0])), "kid": None})
    yield "key address in the header", token(stranger, {"jku": "http://127.0.0.1:1/keys", "kid": "other"})
    yield "certificate address", token(stranger, {"x5u": "http://127.0.0.1:1/c"})
    yield "unknown kid", token(stranger, {"kid": "unknown"})
    yield "kid as a path", token(stranger, {"kid": "../../etc/passwd"})
    yield "kid as a list", token(keys, {"kid": ["ed"]})
    yield "key for encryption", token(keys, {"kid": "enc"})
    yield "another kid's key", token(keys, {"kid": "ec"})
    yield "another algorithm named", token(keys, {"alg": "ES256", "kid": "ec"})
    yield "lower case algorithm", token(keys, {"alg": "eddsa"})
    yield "unknown critical extension", token(keys, {"crit": ["exp2"], "exp2": 1})
    yield "unencoded payload", token(keys, {"crit": ["b64"], "b64": False})
    yield "an id token", token(keys, {"typ": "JWT"})
    yield "no typ", token(keys, {"typ": None})
    yield "another issuer", token(keys, iss="https://issuer.example/other")
    yield "issuer and a slash", token(keys, iss=ISSUER + "/")
    yield "no issuer", token(keys, without="iss")
    yield "another audience", token(keys, aud="other")
    yield "no audience", token(keys, without="aud")
    yield "no subject", token(keys, without="sub")
    yield "subject not opaque", token(keys, sub="ann@clinic.example")
    yield "subject a number", token(keys, sub=7)
    yield "expired", token(keys, exp=now - 60)
    yield "no expiry", token(keys, without="exp")
    yield "expiry as text", token(keys, exp=str(now + 600))
    yield "expiry true", token(keys, exp=True)
    yield "expiry null", token(keys, exp=None)
    yield "expiry NaN", token(keys, exp=float("nan"))
    yield "expiry infinite", token(keys, exp=float("inf"))
    yield "not yet", token(keys, nbf=now + 600)
    yield "not before as text", token(keys, nbf=str(now))
    yield "issued in the future", token(keys, iat=now + 600)
    yield "roles a text", token(keys, roles="admin")
    yield "roles of objects", token(keys, roles=[{"name": "admin"}])
    yield "clinics a text", token(keys, clinics="riverside")
    yield "clinic not opaque", token(keys, clinics=["river side"])
    yield "padded", f"{head}=.{body}.{signature}"
    yield "padded signature", f"{good}=="
    yield "spare bits", good[:-1] + chr(ord(good[-1]) + 1)
    yield "standard alphabet", f"{head}.{body}.{signature[:-2]}+/"
    yield "white space", f"{head}.{body}. {signature}"
    yield "two parts", f"{head}.{body}"
    yield "four parts", f"{good}.{signature}"
    yield "five parts", f"{good}.{signature}.{signature}"
    yield "empty parts", ".."
    yield "64 KiB", "a" * 65_536
    yield "64 KiB of claims", token(keys, filler="x" * 40_000)
    yield "header nested deeply", f"{b64(b'[' * 3000)}.{body}.{signature}"
    yield "header nested objects", b64(b'{"a":' * 1000) + f".{body}.{signature}"
    yield "header a list", f"{b64(b'[]')}.{body}.{signature}"
    yield "header not JSON", f"{b64(b'xyz')}.{body}.{signature}"
    yield "header not UTF-8", f"{b64(bytes([255, 254, 0]))}.{body}.{signature}"
    yield "claims a list", _signed(keys, b"[]")
    yield "claims nested deeply", _signed(keys, b"[" * 3000)
    yield "claims not JSON", _signed(keys, b"xyz")
    yield "one bit of the claims", f"{head}.{'f' if body[10] != 'f' else 'g'}{body[1:]}.{signature}"
    yield "MAC with no key", unsigned({"alg": "HS256", "typ": "at+jwt", "jwk": OctKey.generate_key(256).as_dict(private=True)}, b"x")


def _signed(keys: Keys, claims: bytes) -> str:
    message = f"{b64(json.dumps({'alg': 'EdDSA', 'typ': 'at+jwt', 'kid': 'ed'}).encode())}.{b64(claims)}"
    return f"{message}.{b64(keys.sign('EdDSA', message.encode()))}"


async def test_bad_tokens_are_refused_alike_and_cause_no_fetch(client: Client) -> None:
    case = await client.case()
    fetched = client.keys.fetched
    bodies = set()
    for name, bad in bad_tokens(client.keys):
        answer = await client.get(f"/cases/{case}", authorization=f"Bearer {bad}")
        if len(bad) > 60_000 and answer.status in {400, 431}:
            continue  # the server's own limit on headers
        assert answer.status == 401, name
        bodies.add(answer.body)
    assert len(bodies) == 1
    assert client.keys.fetched <= fetched + 1  # for the kid that is unknown, and not again within a minute
    assert (await client.get(f"/cases/{case}")).status == 200


async def test_good_tokens_of_each_algorithm_are_taken(client: Client) -> None:
    case = await client.case()
    for header, signed_as in (({"alg": "EdDSA", "kid": "ed"}, "EdDSA"), ({"alg": "ES256", "kid": "ec"}, "ES256")):
        for changes in ({}, {"typ": "application/at+jwt"}, {"typ": "AT+JWT"}):
            good = token(client.keys, header | changes, signed_as)
            assert (await client.get(f"/cases/{case}", authorization=f"bearer {good}")).status == 200
    assert (await client.get(f"/cases/{case}", authorization=f"Bearer {token(client.keys, aud=['other', 'kapcare'])}")).status == 200


async def test_two_authorizations_are_none(client: Client) -> None:
    case = await client.case()
    headers = [("authorization", f"Bearer {client.token}"), ("authorization", f"Bearer {client.token}")]
    async with client.session.get(f"{client.base}/cases/{case}", headers=headers) as answer:
        assert answer.status == 401


async def test_a_token_that_expires_is_not_remembered_beyond(client: Client) -> None:
    case = await client.case()
    short = token(client.keys, exp=int(time.time()) - 3)  # within the leeway of 5 seconds
    assert (await client.get(f"/cases/{case}", authorization=f"Bearer {short}")).status == 200
    await asyncio.sleep(3.5)
    assert (await client.get(f"/cases/{case}", authorization=f"Bearer {short}")).status == 401
