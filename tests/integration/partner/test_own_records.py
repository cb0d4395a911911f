"""What a partner sees of its own: what it was sent, how its endpoints stand, tests it asks for. Expectations: the design of the
partner's interface (a gap is found by `sequence` and closed by what is fetched), and bad input B19, B22 to B24."""

import json
import uuid
from datetime import timedelta
from typing import Any

import pytest
from bson import Binary

from services.prescriber.domain.partners.state import ORIGIN
from shared.clock import system_now
from shared.events.partner import EndpointDisabled, EndpointPaused, EndpointRemoved, PartnerRegistered, TestEventAsked
from shared.log.commit import Cause, Commit
from shared.webhooks.signing import PrivateKey
from tests import toy
from tests.integration.partner.clients import ask, endpoint_added, record
from tests.integration.partner_clinic import Clinic

pytestmark = pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
"""The development issuer signs with EdDSA, which newer texts call Ed25519."""


class Organisation:
    """A partner of one test's own, whose endpoints take none of the messages that there are."""

    def __init__(self, clinic: Clinic, slug: str, token: str) -> None:
        self.clinic = clinic
        self.slug = slug
        self.token = token

    async def add(self, endpoint: str, host: str = "hooks.example", *, paused: bool = True) -> None:
        """Add an endpoint; paused, so that nothing moves while a test looks."""
        added = endpoint_added(self.slug, endpoint, host)
        await record(self.clinic, self.slug, added, *([EndpointPaused(partner=self.slug, endpoint=endpoint)] if paused else []))
        await self.knows(endpoint)

    async def knows(self, endpoint: str, *, there: bool = True) -> None:
        async def seen() -> bool:
            return (endpoint in await self.endpoints()) is there

        await toy.eventually(seen)

    async def endpoints(self) -> dict[str, Any]:
        status, answer = await ask(self.clinic, self.token, "/partner/endpoints")
        return {one["endpoint"]: one for one in answer["endpoints"]} if status == 200 else {}

    async def sent(self, endpoint: str, *states: str) -> list[bytes]:
        """Messages to an endpoint, numbered from 1, in these states."""
        bodies = [
            json.dumps({"type": "kapcare.test", "sequence": number, "data": {"endpoint": endpoint, "note": "\u00e9 \u2028"}}).encode()
            for number in range(1, len(states) + 1)
        ]
        rows: list[dict[str, Any]] = [
            {
                "_id": uuid.uuid4().hex,
                "endpoint": f"{self.slug}/{endpoint}",
                "partner": self.slug,
                "stream": f"partner-{self.slug}",
                "sequence": number,
                "type": "kapcare.test",
                "webhook_id": f"{self.slug}-{endpoint}-{number}",
                "body": Binary(body),
                "state": state,
                "attempts": 0,
                "tries": [],
                "created_at": system_now(),
                "next_at": None,
                "settled_at": None,
            }
            for number, (state, body) in enumerate(zip(states, bodies, strict=True), 1)
        ]
        await self.clinic.prescriber.database["endpoint_deliveries"].insert_many(rows[::-1])  # not in their order
        return bodies

    async def events(self, query: str = "") -> tuple[int, dict[str, Any]]:
        return await ask(self.clinic, self.token, f"/partner/events{query}")


async def organisation(clinic: Clinic) -> Organisation:
    slug = f"p{uuid.uuid4().hex[:10]}"
    registered = PartnerRegistered(partner=slug, name="A partner", decision_key=str(PrivateKey.generate().public), sandbox=True)
    cause = Cause.operator("test", uuid.uuid4().hex, b"m" * 32)
    await clinic.prescriber.decisions.run(f"partner-{slug}", lambda _s, _c: [registered], cause, toy.CLINICIAN, origin=ORIGIN)
    made = Organisation(clinic, slug, clinic.token("partner", slug))

    async def known() -> bool:
        return (await ask(clinic, made.token, "/partner/endpoints"))[0] == 200

    await toy.eventually(known)
    return made


async def test_a_partner_closes_a_gap_by_what_it_was_sent(clinic: Clinic) -> None:
    partner = await organisation(clinic)
    await partner.add("main")
    bodies = await partner.sent("main", "done", "dead", "done", "due", "due")
    status, answer = await partner.events("?endpoint=main&after=1&limit=2")
    assert (status, answer["endpoint"], answer["last_sequence"], answer["next"]) == (200, "main", 5, 3)
    assert answer["events"] == [
        {"sequence": 2, "webhook_id": f"{partner.slug}-main-2", "state": "dead", "message": json.loads(bodies[1])},
        {"sequence": 3, "webhook_id": f"{partner.slug}-main-3", "state": "done", "message": json.loads(bodies[2])},
    ]
    status, answer = await partner.events(f"?after={answer['next']}")  # it has one endpoint only
    assert [event["sequence"] for event in answer["events"]] == [4, 5]
    assert (answer["last_sequence"], answer["next"]) == (5, None)
    status, answer = await partner.events("?endpoint=main&after=5")
    assert (answer["events"], answer["last_sequence"], answer["next"]) == ([], 5, None)


async def test_a_whole_history_is_read_page_by_page_in_order_and_once(clinic: Clinic) -> None:
    partner = await organisation(clinic)
    await partner.add("main")
    await partner.sent("main", *["done"] * 230)
    seen, after = [], 0
    while after is not None:
        status, answer = await partner.events(f"?after={after}")
        assert status == 200
        assert len(answer["events"]) <= 100
        seen += [event["sequence"] for event in answer["events"]]
        after = answer["next"]
    assert seen == list(range(1, 231))
    status, answer = await partner.events("?limit=500")
    assert len(answer["events"]) == 230


async def test_which_endpoint_is_meant_is_said_where_there_are_several(clinic: Clinic) -> None:
    partner = await organisation(clinic)
    assert (await partner.events())[0] == 404
    await partner.add("main")
    assert (await partner.events()) == (200, {"endpoint": "main", "events": [], "last_sequence": 0, "next": None})
    await partner.add("archive")
    await partner.sent("archive", "done")
    status, problem = await partner.events()
    assert (status, problem["type"]) == (422, "urn:kapcare:problem:endpoint")
    assert len((await partner.events("?endpoint=archive"))[1]["events"]) == 1
    assert len((await partner.events("?endpoint=main"))[1]["events"]) == 0


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("?endpoint=second", 404),
        ("?endpoint=", 404),
        ("?endpoint=north/main", 404),
        ("?endpoint=%00", 404),
        ("?endpoint[$ne]=x", 422),
        ("?endpoint=main&endpoint=main", 422),
        ("?partner=north", 422),
        ("?after=-1", 422),
        ("?after=1.5", 422),
        ("?after=1e3", 422),
        ("?after=%D9%A3", 422),  # an Arabic-Indic digit
        ("?after=", 422),
        ("?after=1&after=2", 422),
        ("?after[$gt]=", 422),
        ("?after=9999999999999", 422),
        ("?limit=0", 422),
        ("?limit=501", 422),
        ("?limit=999999999999", 422),
        ("?limit=all", 422),
    ],
)
async def test_b19_what_cannot_be_meant_is_refused(clinic: Clinic, query: str, status: int) -> None:
    got, problem = await ask(clinic, clinic.token("partner", "north"), f"/partner/events{query}")
    assert got == status, problem
    assert problem["status"] == status
    for path in ("/partner/endpoints", "/partner/reviews"):
        assert (await ask(clinic, clinic.token("partner", "north"), f"{path}?clinic=riverside"))[0] == 422


async def test_an_endpoint_that_is_paused_or_disabled_is_read_and_one_removed_is_not_there(clinic: Clinic) -> None:
    partner = await organisation(clinic)
    await partner.add("main")
    await partner.add("old")
    await partner.sent("main", "due")
    await partner.sent("old", "dead")
    gone = EndpointDisabled(partner=partner.slug, endpoint="old", why="gone", disabled_at=system_now())
    await record(clinic, partner.slug, gone)

    async def seen() -> bool:
        return [(one["status"], one["why"]) for one in (await partner.endpoints()).values()] == [("paused", None), ("disabled", "gone")]

    await toy.eventually(seen)
    for name in ("main", "old"):
        assert len((await partner.events(f"?endpoint={name}"))[1]["events"]) == 1
    await record(clinic, partner.slug, EndpointRemoved(partner=partner.slug, endpoint="old"))
    await partner.knows("old", there=False)
    status, problem = await partner.events("?endpoint=old")
    assert (status, problem["type"]) == (404, "urn:kapcare:problem:no-such-endpoint")
    assert (await partner.events())[1]["endpoint"] == "main"


async def test_how_endpoints_stand_is_shown_without_addresses_and_secrets(clinic: Clinic) -> None:
    partner = await organisation(clinic)
    await partner.add("main", "one.example")
    await partner.add("archive", "two.example:8443")
    await partner.sent("main", "done", "due", "dead", "due", "dead", "dead")
    since = system_now() - timedelta(hours=7)
    # The sender keeps a row for an endpoint it has seen paused, perhaps already for this one.
    health = clinic.prescriber.database["endpoint_health"]
    await health.update_one({"_id": f"{partner.slug}/main"}, {"$set": {"failing_since": since}}, upsert=True)
    status, answer = await ask(clinic, partner.token, "/partner/endpoints")
    assert status == 200
    stands = {"status": "paused", "why": None}
    main = {"last_sequence": 6, "waiting": 2, "dead": 3, "failing_since": since.isoformat().replace("+00:00", "Z")}
    archive = {"last_sequence": 0, "waiting": 0, "dead": 0, "failing_since": None}
    assert answer["endpoints"] == [
        {"endpoint": "main", "host": "one.example", **stands, **main},
        {"endpoint": "archive", "host": "two.example", **stands, **archive},
    ]
    for secret in ("secret", "whsec", "a-key", "AAAA"):
        assert secret not in json.dumps(answer)


async def test_a_test_and_an_example_are_asked_for_once_for_a_key(clinic: Clinic) -> None:
    partner = await organisation(clinic)
    await partner.add("main", paused=False)
    headers = {"Authorization": f"Bearer {partner.token}", "Idempotency-Key": uuid.uuid4().hex}
    answers = []
    for _ in range(2):
        async with clinic.session.post(f"{clinic.url}/partner/endpoints/test", json={"endpoint": "main"}, headers=headers) as response:
            answers.append((response.status, await response.json()))
    assert answers[0] == answers[1]
    assert answers[0][0] == 200
    assert answers[0][1]["partner"] == f"partner-{partner.slug}"
    status, answer = await ask(clinic, partner.token, "/partner/sandbox/reviews", {"endpoint": "main"})
    assert status == 200
    assert [event["type"] for event in answer["events"]] == [TestEventAsked.TYPE]
    commits = await clinic.prescriber.store.collection.find({"stream": f"partner-{partner.slug}"}).sort("version").to_list()
    recorded = await clinic.prescriber.open_events([Commit.from_document(commit) for commit in commits])
    asked = [one.data for one in recorded if isinstance(one.data, TestEventAsked)]
    assert [(event.partner, event.endpoint, event.example) for event in asked] == [
        (partner.slug, "main", False),
        (partner.slug, "main", True),
    ]
    assert {one.envelope.actor for one in recorded if isinstance(one.data, TestEventAsked)} == {"partner-1"}


@pytest.mark.parametrize("path", ["/partner/endpoints/test", "/partner/sandbox/reviews"])
async def test_b23_b24_what_asks_for_a_test_must_hold(clinic: Clinic, path: str) -> None:
    token = clinic.token("partner", "north")
    assert (await ask(clinic, token, path, {"endpoint": "second"}))[0] == 404
    for body in ({}, {"endpoint": "main", "partner": "south"}, {"endpoint": 1}, {"endpoint": {"$ne": ""}}, {"endpoint": "../main"}):
        assert (await ask(clinic, token, path, body))[0] == 422, body
    headers = {"Authorization": f"Bearer {token}"}
    async with clinic.session.post(clinic.url + path, json={"endpoint": "main"}, headers=headers) as response:
        assert response.status == 400
    assert (await ask(clinic, clinic.token("admin"), path, {"endpoint": "main"}))[0] == 403
    for organisation_ in ("nobody", "NORTH", "north.main"):
        assert (await ask(clinic, clinic.token("partner", organisation_), path, {"endpoint": "main"}))[0] == 404
