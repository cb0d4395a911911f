"""The reviews of a partner, and that no other sees them. Expectations: the design of the partner's interface (404 for what is
another's), OWASP API1 (BOLA), bad input B10 and B22, R-14 and R-30 for the example."""

import json
import uuid
from typing import Any

import pytest

from services.prescriber.partners.messages import EXAMPLE_CASE
from services.prescriber.partners.routes import OPEN_WITH
from shared.access.decide import ROLES
from shared.webhooks.signing import PrivateKey
from tests import toy
from tests.integration.partner.clients import ask, issued, record, revoke, token_of
from tests.integration.partner_clinic import Clinic, decision
from tests.integration.partner_stub import PartnerStub
from tests.unit.prescriber.given import finding

pytestmark = pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
"""The development issuer signs with EdDSA, which newer texts call Ed25519."""


async def reviews(clinic: Clinic, slug: str, query: str = "") -> dict[str, Any]:
    status, answer = await ask(clinic, clinic.token("partner", slug), f"/partner/reviews{query}")
    assert status == 200, answer
    return answer


async def assigned(clinic: Clinic) -> tuple[str, PartnerStub, PartnerStub]:
    """A case whose review is open with a partner: the case, that partner, the other one."""
    case = await clinic.screened()
    mine, notice = await clinic.told()
    assert notice["data"]["case"] == case
    (other,) = (stub for stub in clinic.partners.values() if stub is not mine)

    async def listed() -> bool:
        return case in [review["case"] for review in (await reviews(clinic, mine.slug))["reviews"]]

    await toy.eventually(listed)
    return case, mine, other


async def test_open_reviews_are_listed_for_who_has_them_until_they_are_decided(clinic: Clinic) -> None:
    case, mine, other = await assigned(clinic)
    listed = {review["case"]: review for review in (await reviews(clinic, mine.slug))["reviews"]}
    state = await clinic.state(case)
    assert listed[case] == {"case": case, "request": 1, "due_at": state.due_at.isoformat().replace("+00:00", "Z")}
    assert case not in json.dumps(await reviews(clinic, other.slug))
    assert (await clinic.decide(mine, decision(case)))[0] == 200

    async def gone() -> bool:
        return case not in [review["case"] for review in (await reviews(clinic, mine.slug))["reviews"]]

    await toy.eventually(gone)


async def test_a_list_that_is_behind_names_no_review_that_is_another_organisations(clinic: Clinic) -> None:
    """The field that lists are found by lags, and can be altered by hand; the commits say whose the review is."""
    case, mine, other = await assigned(clinic)
    altered = await clinic.prescriber.database["cases"].update_one({"_id": case, OPEN_WITH: mine.slug}, {"$set": {OPEN_WITH: other.slug}})
    assert altered.modified_count == 1
    assert case not in json.dumps(await reviews(clinic, other.slug))


async def test_reviews_are_paged_by_case(clinic: Clinic) -> None:
    _, mine, _ = await assigned(clinic)
    cases = [review["case"] for review in (await reviews(clinic, mine.slug))["reviews"]]
    assert cases == sorted(cases)
    assert (await reviews(clinic, mine.slug, f"?after={cases[-1]}")) == {"reviews": [], "next": None}
    for query in ("?after=case-1", "?after=", "?after[$gt]=", "?limit=3"):
        assert (await ask(clinic, clinic.token("partner", mine.slug), f"/partner/reviews{query}"))[0] == 422


async def test_b22_every_route_of_a_partner_hides_what_is_anothers(clinic: Clinic) -> None:
    """Each route under /partner, with the case or endpoint of another organisation: the very answer that what never was gets."""
    case, mine, other = await assigned(clinic)
    approved, owner, stranger = await assigned(clinic)
    assert (await clinic.decide(owner, decision(approved)))[0] == 200
    theirs = f"e{uuid.uuid4().hex[:8]}"
    await _add_endpoint(clinic, mine.slug, theirs)
    credentials = {stub.slug: await issued(clinic, stub.slug) for stub in (mine, other)}
    tokens = {slug: await token_of(clinic, one) for slug, one in credentials.items()}
    never, none = f"case-{uuid.uuid4().hex}", f"e{uuid.uuid4().hex[:8]}"
    revocation = {"reason": "new-finding"}
    hidden: dict[tuple[str, str], list[tuple[str, str, str, Any]]] = {
        ("GET", "/partner/reviews/{case}"): [
            (other.slug, f"/partner/reviews/{case}", f"/partner/reviews/{never}", None),
            (stranger.slug, f"/partner/reviews/{approved}", f"/partner/reviews/{never}", None),
        ],
        ("POST", "/partner/reviews/{case}/revocation"): [
            (stranger.slug, f"/partner/reviews/{approved}/revocation", f"/partner/reviews/{never}/revocation", revocation),
            (mine.slug, f"/partner/reviews/{EXAMPLE_CASE}/revocation", f"/partner/reviews/{never}/revocation", revocation),
        ],
        ("GET", "/partner/events"): [
            (other.slug, f"/partner/events?endpoint={theirs}", f"/partner/events?endpoint={none}", None),
            (other.slug, f"/partner/events?endpoint={mine.slug}/{theirs}", f"/partner/events?endpoint={none}", None),
        ],
        ("POST", "/partner/endpoints/test"): [(other.slug, "/partner/endpoints/test", "", {"endpoint": theirs})],
        ("POST", "/partner/sandbox/reviews"): [(other.slug, "/partner/sandbox/reviews", "", {"endpoint": theirs})],
    }
    name_nothing = {("GET", "/partner/endpoints"), ("GET", "/partner/reviews"), ("GET", f"/partner/reviews/{EXAMPLE_CASE}")}
    document = await _document(clinic)
    served = {(method.upper(), path) for path, rows in document["paths"].items() if path.startswith("/partner/") for method in rows}
    assert served == {*hidden, *name_nothing, ("POST", "/partner/token")}
    for rows in hidden.values():
        for slug, path, unknown, body in rows:
            for token in (tokens[slug], clinic.token("partner", slug)):
                status, problem = await ask(clinic, token, path, body)
                assert status == 404, (path, problem)
                if unknown:
                    assert await ask(clinic, token, unknown, body) == (status, problem)
    for _, path in sorted(name_nothing):
        answer = json.dumps(await ask(clinic, tokens[other.slug], path))
        assert not any(name in answer for name in (case, theirs, mine.slug)), path
    assert (await clinic.state(approved)).status == "approved"
    assert (await ask(clinic, tokens[mine.slug], f"/partner/reviews/{case}"))[0] == 200
    assert (await ask(clinic, tokens[mine.slug], f"/partner/events?endpoint={theirs}"))[0] == 200
    for one in credentials.values():
        await revoke(clinic, one)


async def test_the_routes_of_partners_are_theirs_alone(clinic: Clinic) -> None:
    to_main = {"endpoint": "main"}
    gets = ("/partner/events", "/partner/endpoints", "/partner/reviews", f"/partner/reviews/{EXAMPLE_CASE}")
    posts = ("/partner/endpoints/test", "/partner/sandbox/reviews")
    for path, body in (*((path, None) for path in gets), *((path, to_main) for path in posts)):
        assert (await ask(clinic, None, path, body))[0] == 401, path
        for role in set(ROLES) - {"partner"}:
            assert (await ask(clinic, clinic.token(role, "north"), path, body))[0] == 403, (role, path)
            assert (await ask(clinic, clinic.token(role), path, body))[0] == 403, (role, path)
        for organisation in (None, "nobody", "NORTH", "in-house"):
            assert (await ask(clinic, clinic.token("partner", organisation), path, body))[0] == 404, (organisation, path)


async def test_the_whole_way_is_tried_on_an_example(clinic: Clinic) -> None:
    """Asked for, told by a signed webhook, fetched, decided: with what real reviews take, and no patient."""
    north = clinic.partners["north"]
    token = await token_of(clinic, await issued(clinic, "north"))
    assert (await ask(clinic, token, "/partner/sandbox/reviews", {"endpoint": "main"}))[0] == 200

    async def told() -> Any:
        bodies = [json.loads(taken.body) for taken in north.taken]
        return next((body for body in bodies if body["data"].get("case") == EXAMPLE_CASE), None)

    notice = await toy.eventually(told)
    north.taken.clear()
    assert (notice["type"], notice["data"]["test"]) == ("kapcare.review.assigned", True)
    status, review = await ask(clinic, token, notice["data"]["review_url"])
    assert (status, review["request"]) == (200, notice["data"]["request"])
    cleared = [{"item": item, "cleared": True, "note": "controlled"} for item in review["clearances"]]
    status, answer = await clinic.decide(north, decision(review["case"], review["request"], clearances=cleared))
    assert (status, answer["test"]) == (200, True)
    status, sent = await ask(clinic, token, f"/partner/events?endpoint=main&after={notice['sequence'] - 1}&limit=1")
    assert [event["message"] for event in sent["events"]] == [notice]


async def test_r14_r30_the_example_is_fetched_decided_and_recorded_nowhere(clinic: Clinic) -> None:
    north = clinic.partners["north"]
    status, example = await ask(clinic, clinic.token("partner", "north"), f"/partner/reviews/{EXAMPLE_CASE}")
    case = await clinic.screened(finding("cystitis"))
    stub, notice = await clinic.told()
    _, real = await ask(clinic, clinic.token("partner", stub.slug), notice["data"]["review_url"])
    assert status == 200
    assert example["test"] is True
    assert set(example) - {"test"} == set(real)  # what is written for the one reads the other
    assert set(example["summary"]) == set(real["summary"])
    assert (example["case"], example["request"], example["clearances"]) == (EXAMPLE_CASE, 1, ["hypertension"])

    before = await clinic.prescriber.store.collection.count_documents({})
    cleared: dict[str, Any] = {"clearances": [{"item": "hypertension", "cleared": True, "note": "controlled"}]}
    body = decision(EXAMPLE_CASE, **cleared)
    for _ in range(2):
        status, answer = await clinic.decide(north, body, webhook_id=f"msg_example_{case}")
        assert (status, answer["test"], answer["case"]) == (200, True, EXAMPLE_CASE)
        assert [event["type"] for event in answer["events"]] == ["kapcare.prescriber.EligibilityApproved.v1"]
    status, problem = await clinic.decide(north, decision(EXAMPLE_CASE))
    assert (status, problem["type"], problem["rule"], problem["test"]) == (409, "urn:kapcare:problem:refused-by-rule", "R-14", True)
    status, problem = await clinic.decide(north, decision(EXAMPLE_CASE, request=2, **cleared))
    assert (status, problem["type"], problem["rule"]) == (409, "urn:kapcare:problem:no-open-review", "R-30")
    assert (await clinic.decide(north, body, key=PrivateKey.generate()))[0] == 401
    assert (await clinic.decide(north, decision(EXAMPLE_CASE, doses=2)))[0] == 422
    assert (await clinic.decide(north, decision(EXAMPLE_CASE, kind="ineligible")))[1]["test"] is True
    status, answer = await clinic.decide(north, decision(EXAMPLE_CASE, kind="needs_clearance", items=["liver"]))
    assert [event["type"] for event in answer["events"]] == ["kapcare.prescriber.ClearanceRequested.v1"]
    assert await clinic.prescriber.store.collection.count_documents({}) == before
    assert (await clinic.prescriber.load(EXAMPLE_CASE)).version == 0


async def _add_endpoint(clinic: Clinic, slug: str, endpoint: str) -> None:
    from pydantic import SecretStr

    from shared.events.partner import EndpointAdded

    secret = SecretStr("whsec_" + "B" * 32)
    added = EndpointAdded(
        partner=slug, endpoint=endpoint, webhook_url="https://x.example/", events=("kapcare.none",), webhook_secret=secret
    )
    await record(clinic, slug, added)

    async def known() -> bool:
        return (await ask(clinic, clinic.token("partner", slug), f"/partner/events?endpoint={endpoint}"))[0] == 200

    await toy.eventually(known)


async def _document(clinic: Clinic) -> dict[str, Any]:
    async with clinic.session.get(f"{clinic.url}/openapi.json") as response:
        document: dict[str, Any] = await response.json()
        return document
