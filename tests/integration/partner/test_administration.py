"""How an admin manages partners over HTTP: who may, and what is shown once and never again.

Expectations: reliability figures for secrets (24 to 64 bytes, overlap 24 h, 0 to 168 h), bad inputs B23 to B25 and B27, fault F31.
"""

import asyncio
import base64
import hashlib
import json
import uuid
from datetime import datetime, timedelta
from typing import Any

import pytest
from standardwebhooks import Webhook

from services.prescriber.domain.partners.endpoints import disable_endpoint
from services.prescriber.partners.commands import partner_commands
from shared.access.decide import ROLES
from shared.clock import system_now
from shared.events.partner import CredentialIssued
from shared.log.commit import Cause, Commit
from shared.pathway.context import Actor
from shared.webhooks.signing import PrivateKey, PublicKey, sign
from tests import toy
from tests.integration.partner.desk import Desk
from tests.integration.partner_clinic import Clinic

pytestmark = pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
"""The development issuer signs with EdDSA, which newer texts call Ed25519."""
COMMANDS = {command.path: command for command in partner_commands(tuple, allow_loopback=False)}
URL = "https://partner.example/hooks"


def key_id(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


async def test_only_an_admin_manages_partners(clinic: Clinic, desk: Desk) -> None:
    await desk.done("endpoints", {"endpoint": "main", "webhook_url": URL})
    before = (await desk.get())["version"]
    for role in sorted(set(ROLES) - {"admin"}):
        organisation = desk.slug if role == "partner" else None
        for path in COMMANDS:
            status, problem = await clinic.post(path.format(partner=desk.slug), {}, role, organisation)
            assert (status, problem["type"]) == (403, "urn:kapcare:problem:role-may-not")
        for path in ("", f"/{desk.slug}", f"/{desk.slug}/deliveries"):
            assert (await clinic.get(f"/partners{path}", role, organisation))[0] == 403
    async with clinic.session.get(f"{clinic.url}/partners") as response:
        assert response.status == 401
    assert (await desk.get())["version"] == before


async def test_a_secret_is_shown_to_the_request_that_made_it_and_to_its_retry_and_never_again(clinic: Clinic, desk: Desk) -> None:
    asked = {"endpoint": "main", "webhook_url": URL}
    made = await desk.done("endpoints", asked, key=f"add-{desk.slug}")
    first = made["webhook_secret"]
    headers = Webhook(first).sign("msg_1", system_now(), "{}")  # the published library takes it
    assert headers.startswith("v1,")
    assert len(base64.b64decode(first.removeprefix("whsec_"))) == 32
    assert await desk.done("endpoints", asked, key=f"add-{desk.slug}") == made
    rotated = await desk.done("endpoints/secret/rotation", {"endpoint": "main"}, key=f"rotate-{desk.slug}")
    second = rotated["webhook_secret"]
    assert second != first
    assert await desk.done("endpoints/secret/rotation", {"endpoint": "main"}, key=f"rotate-{desk.slug}") == rotated
    until = datetime.fromisoformat(rotated["earlier_until"]) - system_now()
    assert timedelta(hours=23, minutes=59) < until <= timedelta(hours=24)
    credential = await desk.done("credentials", {"credential": "desk"}, key=f"issue-{desk.slug}")
    third = credential["client_secret"]
    assert await desk.done("credentials", {"credential": "desk"}, key=f"issue-{desk.slug}") == credential

    for path, body in (
        ("endpoints/pause", {"endpoint": "main"}),
        ("endpoints/resume", {"endpoint": "main"}),
        ("endpoints/change", {"endpoint": "main", "events": ["kapcare.test"]}),
        ("endpoints/test", {"endpoint": "main"}),
        ("deliveries/replay", {"endpoint": "main", "first": 1, "last": 5}),
        ("deliveries/resend", {"endpoint": "main", "sequence": 2}),
        ("terms", {"licensed_states": ["OR"], "capacity": 5}),
        ("activation", {}),
    ):
        await desk.done(path, body)
    assert await desk.refused("endpoints", {"endpoint": "second", "webhook_url": URL, "webhook_secret": second}) == "key-in-use"
    for path in ("", "/deliveries", "/deliveries?endpoint=main&state=due"):
        await desk.get(path)
    _, listed = await clinic.get("/partners", "admin")
    desk.answers.append(json.dumps(listed))
    _, alerts = await clinic.get("/alerts", "admin")
    desk.answers.append(json.dumps(alerts))
    assert [desk.shown(secret) for secret in (first, second, third)] == [2, 2, 2]


async def test_what_is_stored_holds_no_secret_in_the_clear(clinic: Clinic, desk: Desk) -> None:
    secrets = [
        (await desk.done("endpoints", {"endpoint": "main", "webhook_url": URL}))["webhook_secret"],
        (await desk.done("credentials", {"credential": "desk"}))["client_secret"],
    ]
    stream = f"partner-{desk.slug}"
    commits = [document async for document in clinic.prescriber.database["commits"].find({"stream": stream})]
    assert len(commits) == 3
    await toy.keep_cache(clinic.prescriber, stream)
    commits += [document async for document in clinic.prescriber.database["cases"].find({"_id": stream})]
    assert len(commits) == 4
    for secret in secrets:
        assert secret.encode() not in b"".join(_bytes(document) for document in commits)
    opened = await clinic.prescriber.open_events([Commit.from_document(commits[2])])
    assert isinstance(opened[0].data, CredentialIssued)
    assert opened[0].data.client_secret.get_secret_value() == secrets[1]
    (kept,) = (await clinic.state(stream)).entry.credentials
    assert kept.secret_sha256 == hashlib.sha256(secrets[1].encode()).hexdigest()


def _bytes(value: Any) -> bytes:
    """Everything in a stored document, one after the other."""
    if isinstance(value, dict):
        return b"".join(_bytes(part) for item in value.items() for part in item)
    if isinstance(value, list):
        return b"".join(_bytes(part) for part in value)
    return value if isinstance(value, bytes) else str(value).encode()


async def test_a_v1a_endpoint_shows_its_public_key_and_its_private_key_to_nobody(clinic: Clinic, desk: Desk) -> None:
    made = await desk.done("endpoints", {"endpoint": "main", "webhook_url": URL, "signing": "v1a"})
    assert "webhook_secret" not in made
    public = PublicKey.parse(made["webhook_key"])
    shown = await desk.get()
    (signing,) = shown["endpoints"][0]["secrets"]
    assert signing == {"id": key_id(made["webhook_key"]), "until": None, "signing": "v1a", "webhook_key": made["webhook_key"]}
    (secret,) = (await clinic.state(f"partner-{desk.slug}")).entry.endpoints[0].secrets
    assert PrivateKey.parse(secret.text).public == public
    headers = sign("msg_1", system_now(), b"{}", [PrivateKey.parse(secret.text)])
    content = f"msg_1.{headers['webhook-timestamp']}.".encode() + b"{}"
    assert public.verifies(content, base64.b64decode(headers["webhook-signature"].removeprefix("v1a,")))
    assert desk.shown(secret.text) == desk.shown("whsk_") == 0


async def test_requests_at_once_with_one_key_get_one_secret(desk: Desk) -> None:
    await desk.done("endpoints", {"endpoint": "main", "webhook_url": URL})
    answers = await asyncio.gather(
        *(desk.done("endpoints/secret/rotation", {"endpoint": "main"}, key=f"once-{desk.slug}") for _ in range(8)),
        desk.done("endpoints/secret/rotation", {"endpoint": "main"}),
    )
    assert len({answer["webhook_secret"] for answer in answers[:8]}) == 1
    assert answers[8]["webhook_secret"] != answers[0]["webhook_secret"]
    assert len((await desk.get())["endpoints"][0]["secrets"]) == 3


async def test_f31_a_rotation_shows_when_the_old_secret_ends_and_a_revocation_ends_it_now(desk: Desk) -> None:
    first = (await desk.done("endpoints", {"endpoint": "main", "webhook_url": URL}))["webhook_secret"]
    rotated = await desk.done("endpoints/secret/rotation", {"endpoint": "main", "overlap_hours": 168})
    newest, old = (await desk.get())["endpoints"][0]["secrets"]
    assert newest == {"id": key_id(rotated["webhook_secret"]), "until": None, "signing": "v1"}
    assert (old["id"], old["until"]) == (key_id(first), rotated["earlier_until"])
    await desk.done("endpoints/secret/revocation", {"endpoint": "main"})
    assert (await desk.get())["endpoints"][0]["secrets"] == [newest]
    assert await desk.refused("endpoints/secret/revocation", {"endpoint": "main"}) == "no-old-secret"
    await desk.done("endpoints/secret/rotation", {"endpoint": "main", "overlap_hours": 0})
    (only,) = (await desk.get())["endpoints"][0]["secrets"]
    assert only["id"] != newest["id"]


async def test_r30_what_a_revoked_decision_key_signs_has_no_effect(clinic: Clinic, desk: Desk) -> None:
    old, new = PrivateKey.generate(), PrivateKey.generate()
    await desk.done("decision-keys", {"decision_key": str(old.public)})
    await desk.done("decision-keys", {"decision_key": str(new.public)})
    (registered,) = [one for one in (await desk.get())["decision_keys"] if one["decision_key"] not in {str(old.public), str(new.public)}]
    await desk.done("decision-keys/revocation", {"decision_key": str(old.public), "reason": "lost"})
    await desk.done("decision-keys/revocation", {"decision_key": registered["decision_key"], "reason": "first key"})
    assert (await desk.get())["decision_keys"] == [{"id": key_id(str(new.public)), "decision_key": str(new.public)}]
    assert await desk.refused("decision-keys/revocation", {"decision_key": str(new.public), "reason": "lost"}) == "last-key"
    assert await desk.refused("decision-keys", {"decision_key": str(old.public)}) == "key-in-use"

    async def answer(key: PrivateKey) -> int:
        headers = {**sign(f"msg_{uuid.uuid4().hex}", system_now(), b"{}", [key]), "Content-Type": "application/json"}
        async with clinic.session.post(f"{clinic.url}/partners/{desk.slug}/decisions", data=b"{}", headers=headers) as response:
            return response.status

    async def known() -> bool:
        return await answer(new) == 422  # proven, and empty

    await toy.eventually(known)
    assert await answer(old) == 401


async def test_a_partner_out_of_the_sandbox_and_out_of_the_network(clinic: Clinic, desk: Desk) -> None:
    await desk.done("endpoints", {"endpoint": "main", "webhook_url": URL})
    departure = {"reason": "contract ended"}
    steps: list[tuple[str, dict[str, Any], str]] = [
        ("activation", {}, "active"),
        ("departure", departure, "left"),
        ("return", {}, "active"),
    ]
    assert (await desk.get())["status"] == "sandbox"
    for path, body, status in steps:
        await desk.done(path, body)
        assert (await desk.get())["status"] == status
        _, listed = await clinic.get("/partners", "admin")
        (line,) = [one for one in listed["partners"] if one["slug"] == desk.slug]
        assert line == {
            "slug": desk.slug,
            "name": "Cascade",
            "status": status,
            "licensed_states": [],
            "capacity": None,
            "open_reviews": 0,
            "endpoints": [{"endpoint": "main", "status": "active"}],
        }
    assert await desk.refused("activation", {}) == "not-in-sandbox"


async def test_what_is_shown_of_a_partner(desk: Desk) -> None:
    await desk.done("terms", {"licensed_states": ["OR", "WA"], "capacity": 5, "answer_hours": 24})
    await desk.done("endpoints", {"endpoint": "main", "webhook_url": URL, "events": ["kapcare.test"]})
    await desk.done("endpoints", {"endpoint": "gone", "webhook_url": URL})
    await desk.done("endpoints/removal", {"endpoint": "gone"})
    await desk.done("endpoints/disable", {"endpoint": "main"})
    await desk.done("credentials", {"credential": "one"})
    await desk.done("credentials", {"credential": "two"})
    await desk.done("credentials/revocation", {"credential": "one"})
    shown = await desk.get()
    assert (shown["licensed_states"], shown["capacity"], shown["answer_hours"]) == (["OR", "WA"], 5, 24)
    (endpoint,) = shown["endpoints"]
    assert (endpoint["endpoint"], endpoint["webhook_url"], endpoint["events"]) == ("main", URL, ["kapcare.test"])
    assert (endpoint["status"], endpoint["why"]) == ("disabled", "by-admin")
    assert shown["credentials"] == [{"credential": "two", "client_id": f"{desk.slug}.two"}]
    assert (shown["quarantined"], shown["alerts"], shown["open_reviews"]) == (0, [], 0)


async def test_a_command_is_made_on_the_version_that_was_seen(clinic: Clinic, desk: Desk) -> None:
    token = {"Authorization": f"Bearer {clinic.token('admin')}"}
    async with clinic.session.get(f"{clinic.url}/partners/{desk.slug}", headers=token) as response:
        seen, shown = response.headers["ETag"], await response.json()
    assert seen == f'"{shown["version"]}"'
    for key, status in (("one", 200), ("two", 412)):
        headers = {**token, "Idempotency-Key": f"{key}-{desk.slug}", "If-Match": seen}
        body = {"capacity": len(key)}
        async with clinic.session.post(f"{clinic.url}/partners/{desk.slug}/terms", json=body, headers=headers) as response:
            assert response.status == status


async def test_who_is_not_a_partner_is_not_found(clinic: Clinic) -> None:
    for slug in ("nobody", "Nobody", "a%2Fb", "partner-nobody", "%00", "x" * 65):
        for path in ("", "/deliveries"):
            status, problem = await clinic.get(f"/partners/{slug}{path}", "admin")
            assert (status, problem["type"]) == (404, "urn:kapcare:problem:not-found")
        status, problem = await clinic.post(f"/partners/{slug}/terms", {}, "admin")
        assert (status, problem["type"]) == (404, "urn:kapcare:problem:not-found")
        assert "case" not in problem["detail"] or slug != "nobody"


@pytest.mark.parametrize("path", sorted(COMMANDS))
async def test_b23_what_a_command_does_not_know_is_refused_and_not_echoed(desk: Desk, path: str) -> None:
    before = (await desk.get())["version"]
    status, problem = await desk.post(path.removeprefix("/partners/{partner}/"), {"canary": "Zebulon-7731", "version": 9})
    assert (status, problem["type"]) == (422, "urn:kapcare:problem:invalid-body")
    assert desk.shown("Zebulon") == 0
    assert (await desk.get())["version"] == before


@pytest.mark.parametrize(
    "changed",
    [
        {"webhook_secret": "whsec_" + base64.b64encode(b"s" * 23).decode()},
        {"webhook_secret": "whsec_" + base64.b64encode(b"s" * 65).decode()},
        {"webhook_secret": "whsk_" + base64.b64encode(b"s" * 32).decode()},
        {"webhook_secret": "whsec_" + base64.b64encode(b"s" * 32).decode(), "signing": "v1a"},
        {"webhook_url": "https://169.254.169.254/latest"},
        {"webhook_url": "https://user:pass@partner.example/"},
        {"webhook_url": "https://2130706433/"},
    ],
    ids=lambda changed: str(list(changed.items()))[:40],
)
async def test_b25_b27_addresses_and_secrets_that_do_not_hold(desk: Desk, changed: dict[str, str]) -> None:
    status, problem = await desk.post("endpoints", {"endpoint": "main", "webhook_url": URL, **changed})
    assert (status, problem["type"]) == (422, "urn:kapcare:problem:invalid-body")
    assert all(desk.shown(value) == 0 for value in changed.values() if value != "v1a")
    assert (await desk.get())["endpoints"] == []


async def test_b24_a_key_that_stood_for_another_request_is_refused(desk: Desk) -> None:
    key = uuid.uuid4().hex
    made = await desk.done("endpoints", {"endpoint": "main", "webhook_url": URL}, key=key)
    status, problem = await desk.post("endpoints", {"endpoint": "other", "webhook_url": URL}, key=key)
    assert (status, problem["type"]) == (422, "urn:kapcare:problem:key-reused")
    assert desk.shown(made["webhook_secret"]) == 1


async def test_an_alert_about_an_endpoint_calls_the_admin_whatever_clinics_the_token_names(clinic: Clinic, desk: Desk) -> None:
    await desk.done("endpoints", {"endpoint": "main", "webhook_url": URL})
    stream = f"partner-{desk.slug}"
    cause = Cause.carried("test", uuid.uuid4().hex)
    await clinic.prescriber.run(
        stream, lambda partner, context: disable_endpoint(partner, "main", "failing", context), cause, Actor("service:prescriber")
    )

    async def called(role: str, query: str = "", clinic_of_token: str = "hillside") -> list[dict[str, Any]]:
        status, listed = await clinic.get(f"/alerts{query}", role, clinic=clinic_of_token)
        assert status == 200, listed
        return [alert for alert in listed["alerts"] if alert.get("partner") == stream]

    async def listed() -> Any:
        return await called("admin")

    (alert,) = await toy.eventually(listed)
    assert (alert["why"], alert["role"], alert["clinic"], alert["level"]) == ("endpoint-disabled", "admin", "network", 1)
    assert "case" not in alert
    assert await called("admin", "?role=admin") == await called("admin", "?clinic=network") == [alert]
    assert await called("admin", "?role=therapist") == await called("admin", "?clinic=hillside") == []
    for role in ("coordinator", "therapist", "prescriber", "medical_monitor"):
        assert await called(role) == await called(role, clinic_of_token="network") == []
    shown = await desk.get()
    assert (shown["endpoints"][0]["why"], shown["alerts"][0]["id"]) == ("failing", alert["alert"])
    await desk.done("alerts/acknowledge", {"alert": alert["alert"], "note": "called them"})
    assert await desk.refused("alerts/acknowledge", {"alert": alert["alert"]}) == "already-acknowledged"

    async def gone() -> bool:
        return not await called("admin")

    await toy.eventually(gone)
    await desk.done("endpoints/resume", {"endpoint": "main"})
    assert (await desk.get())["endpoints"][0]["status"] == "active"
