"""A Part 2 program's reviews over HTTP. Expectations: R-33, 42 CFR 2.32 and 2.33."""

import asyncio
import json
from typing import Any

import pytest

from shared.clock import system_now
from shared.events import intake
from shared.pathway.policy import SHIPPED
from tests import toy
from tests.integration.partner_clinic import SCOPES, Clinic, clinic_on, decision
from tests.integration.partner_stub import partner
from tests.unit.prescriber.given import finding

pytestmark = pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
"""The development issuer signs with EdDSA, which newer texts call Ed25519."""

KNOWN_SECONDS = 0.5
"""After which the service knows of a partner: it follows its own commits."""


async def fetched(clinic: Clinic, case: str) -> dict[str, Any]:
    status, review = await clinic.get(f"/partner/reviews/{case}", "partner", "north")
    assert status == 200, review
    return review


def items(review: dict[str, Any]) -> list[str]:
    return [each["item"] for each in review["summary"]["findings"]]


async def consents(clinic: Clinic, case: str, *scopes: intake.ConsentScope) -> None:
    """Give consent anew, and wait until the prescriber service knows."""
    given_at = system_now()
    await clinic.said_at_intake(case, intake.ConsentGiven(version="c2", scopes=scopes, given_at=given_at))

    async def known() -> bool:
        stops = (await clinic.state(case)).stops
        return bool(stops.consent_given_at == given_at)

    await toy.eventually(known)


async def test_r33_a_part2_program_discloses_under_the_consent_in_force_at_the_fetch(mongo_url: str, kafka_bootstrap: str) -> None:
    async with clinic_on(mongo_url, kafka_bootstrap) as clinic, partner("north") as north:
        assert (await clinic.register(north))[0] == 201
        await asyncio.sleep(KNOWN_SECONDS)
        case = await clinic.screened(finding("alcohol", "review"), finding("cystitis", "review"))
        await clinic.told()
        before = await fetched(clinic, case)
        assert (items(before), before["withheld"], before["redisclosure"]) == (["alcohol", "cystitis"], [], None)

        document = json.loads(SHIPPED.read_text()) | {"version": "with-program-1", "part2_programs": ["riverside"]}
        status, answer = await clinic.post("/policy/adoption", {"document": document, "adopted_by": "Dr Ada"}, "medical_director")
        assert status in (200, 201), answer

        async def withheld() -> bool:
            return "substance_use_findings" in (await fetched(clinic, case))["withheld"]

        await toy.eventually(withheld)
        review = await fetched(clinic, case)
        assert items(review) == ["cystitis"]
        assert "alcohol" not in json.dumps(review)
        _, shown = await clinic.get(f"/cases/{case}", "prescriber")
        assert items(shown) == ["alcohol", "cystitis"]
        status, problem = await clinic.decide(north, decision(case))
        assert (status, problem["type"], problem["rule"]) == (409, "urn:kapcare:problem:refused-by-rule", "R-33")
        assert "alcohol" not in json.dumps(problem)

        await consents(clinic, case, *SCOPES, "substance_use_disclosure")
        _, notice = await clinic.told()
        assert (notice["data"]["case"], notice["data"]["request"]) == (case, 2)
        disclosed = await fetched(clinic, case)
        assert (items(disclosed), disclosed["withheld"]) == (["alcohol", "cystitis"], [])
        assert disclosed["redisclosure"]["notice"] == "42 CFR part 2 prohibits unauthorized use or disclosure of these records."
        assert "substance_use_disclosure" in disclosed["redisclosure"]["consent"]["scopes"]

        await clinic.said_at_intake(case, intake.ConsentWithdrawn(withdrawn_at=system_now(), said_to="intake"))

        async def stopped() -> bool:
            return (await clinic.get(f"/partner/reviews/{case}", "partner", "north"))[0] == 409

        await toy.eventually(stopped)
        await consents(clinic, case, *SCOPES)
        assert items(await fetched(clinic, case)) == ["cystitis"]
        assert (await clinic.decide(north, decision(case, request=2)))[1]["rule"] == "R-33"

        await consents(clinic, case, *SCOPES, "substance_use_disclosure")
        assert (await clinic.told())[1]["data"]["request"] == 3
        assert (await clinic.decide(north, decision(case, request=3)))[0] == 200
        assert (await clinic.state(case)).status == "approved"
