"""Organisations come, go, and are licensed in some states: over HTTP, with reviews open meanwhile."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from shared.pathway.policy import SHIPPED
from tests import toy
from tests.integration.partner_clinic import Clinic, clinic_on, decision
from tests.integration.partner_stub import PartnerStub, partner

pytestmark = pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")

KNOWN_SECONDS = 0.5
"""After which the service knows of what became of a partner: it follows its own commits."""


@pytest_asyncio.fixture(loop_scope="session")
async def alone(mongo_url: str, kafka_bootstrap: str) -> AsyncIterator[Clinic]:
    """A clinic of the test's own, with no partner yet."""
    async with clinic_on(mongo_url, kafka_bootstrap) as running:
        yield running


async def registered(clinic: Clinic, stub: PartnerStub, **terms: Any) -> None:
    status, body = await clinic.register(stub, **terms)
    assert status == 201, body
    await asyncio.sleep(KNOWN_SECONDS)


async def is_with(clinic: Clinic, case: str, slug: str) -> None:
    """Wait until the organisation has the open review of the case."""

    async def there() -> bool:
        state = await clinic.state(case)
        return bool(state.status == "in_review" and state.partner == slug)

    await toy.eventually(there)


async def told_of(stub: PartnerStub, case: str, request: int) -> None:
    """Wait until the organisation was told of this request."""

    async def told() -> bool:
        notices = [json.loads(taken.body) for taken in stub.taken]
        asked = [notice["data"] for notice in notices if notice["type"] == "kapcare.review.assigned"]
        return (case, request) in [(data["case"], data["request"]) for data in asked]

    await toy.eventually(told)


async def leaves(clinic: Clinic, slug: str) -> None:
    status, answer = await clinic.post(f"/partners/{slug}/departure", {"reason": "Contract ended."}, "admin")
    assert status == 200, answer


async def test_the_reviews_of_one_that_leaves_go_to_the_other_and_its_late_decision_is_recorded_and_refused(alone: Clinic) -> None:
    async with partner("north") as north, partner("south") as south:
        await registered(alone, north)
        cases = [await alone.screened() for _ in range(5)]
        for case in cases:
            await is_with(alone, case, "north")
        approved, held, *passed_on = cases
        assert (await alone.decide(north, decision(approved)))[0] == 200
        assert (await alone.post(f"/cases/{held}/holds", {"reason": "adverse_event", "note": "rash"}, "therapist"))[0] == 200
        await registered(alone, south)
        await leaves(alone, "north")
        for case in passed_on:
            await is_with(alone, case, "south")
            await told_of(south, case, 2)
            assert (await alone.get(f"/partner/reviews/{case}", "partner", "north"))[0] == 404
            assert (await alone.get(f"/partner/reviews/{case}", "partner", "south"))[0] == 200

        late = decision(passed_on[0])
        status, problem = first = await alone.decide(north, late, webhook_id="msg_late")
        assert (status, problem["type"]) == (409, "urn:kapcare:problem:late-decision")
        assert await alone.recorded(passed_on[0], problem["version"]) == ["DecisionReceived", "LateDecisionReceived", "AlertRaised"]
        assert (await alone.decide(south, decision(passed_on[0], request=2)))[0] == 200
        assert await alone.decide(north, late, webhook_id="msg_late") == first
        assert (await alone.state(passed_on[0])).approved_by == "south"

        # What it approved stands, and a prescriber is called to look at it.
        async def called() -> bool:
            _, shown = await alone.get(f"/cases/{approved}", "coordinator")
            return ("approving-partner-left", "prescriber") in [(alert["why"], alert["role"]) for alert in shown["alerts"]]

        await toy.eventually(called)
        assert (await alone.state(approved)).status == "approved"

        # Nobody new is asked under a stop, and what was asked before decides nothing; when it ends, another one is asked.
        status, problem = await alone.decide(north, decision(held, kind="ineligible"))
        assert (status, problem["type"]) == (409, "urn:kapcare:problem:late-decision")
        state = await alone.state(held)
        assert (state.status, state.partner, state.request) == ("in_review", "north", 1)
        (hold,) = state.stops.holds
        assert (await alone.post(f"/cases/{held}/holds/lift", {"hold": hold, "reason": "assessed"}, "prescriber"))[0] == 200
        await is_with(alone, held, "south")
        await told_of(south, held, 2)
        assert (await alone.state(held)).lost == ("north",)

        new = await alone.screened()
        await is_with(alone, new, "south")
        status, problem = await alone.post(f"/cases/{new}/reassignment", {"reason": "too-busy", "partner": "north"}, "coordinator")
        assert (status, problem["type"]) == (409, "urn:kapcare:problem:partner-not-active")

        async def nothing_waits() -> bool:
            status, progress = await alone.get("/operations/progress", "admin")
            return (status, progress["pending"]["departures"]) == (200, 0)

        await toy.eventually(nothing_waits)


async def test_a_licence_counts_as_soon_as_the_policy_says_where_the_clinic_lies(alone: Clinic) -> None:
    async with partner("north") as north, partner("south") as south:
        await registered(alone, north, licensed_states=["WA"], answer_hours=1)
        first = await alone.screened()
        await is_with(alone, first, "north")
        await registered(alone, south, licensed_states=["OR", "WA"])
        document = json.loads(SHIPPED.read_text()) | {"version": "with-states-1", "clinic_states": {"riverside": "OR"}}
        status, answer = await alone.post("/policy/adoption", {"document": document, "adopted_by": "Dr Ada"}, "medical_director")
        assert status in (200, 201), answer
        await is_with(alone, first, "south")
        second = await alone.screened()
        await is_with(alone, second, "south")
        body = {"reason": "too-busy", "partner": "north"}
        status, problem = await alone.post(f"/cases/{second}/reassignment", body, "coordinator")
        assert (status, problem["type"]) == (409, "urn:kapcare:problem:not-licensed")
        status, answer = await alone.post("/partners/south/terms", {"licensed_states": ["WA"]}, "admin")
        assert status == 200, answer
        for case in (first, second):
            await is_with(alone, case, "in-house")


async def test_a_burst_gives_no_organisation_more_than_it_undertakes(alone: Clinic) -> None:
    """Near answers sooner, so that all would be its own but for its capacity."""
    async with partner("near") as near, partner("far") as far:
        await registered(alone, near, capacity=4, answer_hours=1)
        await registered(alone, far, capacity=10)
        cases = list(await asyncio.gather(*(alone.screened() for _ in range(20))))

        async def open_reviews(slug: str) -> int:
            return sum([(await alone.state(case)).reviewer == slug for case in cases])

        async def all_open() -> bool:
            return all([(await alone.state(case)).status == "in_review" for case in cases])

        await toy.eventually(all_open)
        assert [await open_reviews(slug) for slug in ("near", "far")] == [4, 10]
        reviewers = {case: (await alone.state(case)).reviewer for case in cases}
        one = next(case for case in cases if reviewers[case] == "near")
        in_house = next(case for case in cases if reviewers[case] is None)
        body = {"reason": "by-phone", "partner": "near"}
        status, problem = await alone.post(f"/cases/{in_house}/reassignment", body, "coordinator")
        assert (status, problem["type"]) == (409, "urn:kapcare:problem:partner-full")
        await told_of(near, one, 1)
        assert (await alone.decide(near, decision(one, kind="ineligible")))[0] == 200

        async def has_room() -> bool:
            return (await alone.post(f"/cases/{in_house}/reassignment", body, "coordinator"))[0] == 200

        await toy.eventually(has_room)
        assert await open_reviews("near") == 4
