"""What an organisation is told of a case is in the commit that it follows from, whichever way that came about."""

import uuid
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from services.prescriber.app import define
from services.prescriber.domain.decide import HEARD, decide_as_partner
from services.prescriber.domain.review import opening
from services.prescriber.lot_holds import LotHolds
from shared.clock import MovableCareClock, system_now
from shared.events import intake
from shared.events.base import EventData
from shared.events.partner import PartnerTold
from shared.events.prescriber import StopNoted
from shared.events.supply import MedicationDispensed
from shared.log.commit import Cause
from shared.service.definition import Origin
from shared.service.runtime import Runtime
from shared.transport.ticker import Ticker
from tests import toy
from tests.faults.injected import commits_of
from tests.integration.partner_clinic import Clinic, decision
from tests.unit.prescriber.given import CONSENT, NORTH, screened
from tests.unit.prescriber.given import decision as stated

pytestmark = pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
"""The development issuer signs with EdDSA, which newer texts call Ed25519."""


async def last(runtime: Runtime, case: str) -> list[Any]:
    """The types of the newest commit; of what was told, to whom and what instead."""
    opened = await runtime.open_events((await commits_of(runtime, case))[-1:])
    return [_shown(recorded.data) for recorded in opened]


def _shown(event: EventData) -> Any:
    if isinstance(event, PartnerTold):
        return event.partner, event.told.removeprefix("kapcare."), event.request
    return event.TYPE.split(".")[2]


async def reviewed(clinic: Clinic) -> tuple[str, str, str]:
    """A case whose review is open, the partner that has it and the other one."""
    case = await clinic.screened()

    async def partner_of() -> str | None:
        found: str | None = (await clinic.state(case)).partner
        return found

    mine: str = await toy.eventually(partner_of)
    (other,) = clinic.partners.keys() - {mine}
    return case, mine, other


async def test_r10_r20_commands_and_reactions_tell_of_stops(clinic: Clinic) -> None:
    case, mine, _ = await reviewed(clinic)
    assert (await clinic.post(f"/cases/{case}/holds", {"reason": "other"}, "therapist"))[0] == 200
    assert await last(clinic.prescriber, case) == ["SafetyHoldPlaced", (mine, "review.stopped", 1)]
    (hold,) = (await clinic.state(case)).stops.holds
    assert (await clinic.post(f"/cases/{case}/holds/lift", {"hold": hold, "reason": "assessed"}, "prescriber"))[0] == 200
    assert await last(clinic.prescriber, case) == ["SafetyHoldLifted", (mine, "review.resumed", 1)]
    withdrawn = intake.ConsentWithdrawn(withdrawn_at=system_now(), said_to="intake")
    cause = Cause.http("test", "clinician", uuid.uuid4().hex, b"m" * 32)
    await clinic.intake.decisions.run(case, lambda _state, _context: [withdrawn], cause, toy.CLINICIAN)

    async def heard() -> bool:
        return await last(clinic.prescriber, case) == ["StopNoted", (mine, "review.stopped", 1)]

    await toy.eventually(heard)


async def test_a_partners_decision_tells_the_one_whose_approval_it_ends(clinic: Clinic) -> None:
    case, mine, other = await reviewed(clinic)
    assert (await clinic.decide(clinic.partners[mine], decision(case)))[0] == 200
    assert (await clinic.post(f"/cases/{case}/review", {}, "coordinator"))[0] == 200
    assert (await clinic.post(f"/cases/{case}/reassignment", {"reason": "too-busy", "partner": other}, "coordinator"))[0] == 200
    assert await last(clinic.prescriber, case) == ["ReviewReassigned", "ReviewAssigned", (mine, "review.reassigned", 2)]
    assert (await clinic.decide(clinic.partners[other], decision(case, request=3, kind="ineligible")))[0] == 200
    assert await last(clinic.prescriber, case) == ["DecisionReceived", "EligibilityDeclined", (mine, "approval.revoked", 1)]


async def test_a_revocation_is_told_to_whoever_approved_unless_it_revoked_itself(clinic: Clinic) -> None:
    case, mine, _ = await reviewed(clinic)
    assert (await clinic.decide(clinic.partners[mine], decision(case)))[0] == 200
    assert (await clinic.post(f"/partner/reviews/{case}/revocation", {"reason": "new-finding"}, "partner", mine))[0] == 200
    assert await last(clinic.prescriber, case) == ["EligibilityRevoked", "AlertRaised"]
    case, mine, _ = await reviewed(clinic)
    assert (await clinic.decide(clinic.partners[mine], decision(case)))[0] == 200
    assert (await clinic.post(f"/cases/{case}/revocation", {"reason": "new-finding"}, "prescriber"))[0] == 200
    assert await last(clinic.prescriber, case) == ["EligibilityRevoked", "AlertRaised", (mine, "approval.revoked", 1)]


async def run(runtime: Runtime, case: str, decide: Any, origin: Origin | None = None) -> None:
    cause = Cause.http("test", "clinician", uuid.uuid4().hex, b"m" * 32)
    await runtime.decisions.run(case, decide, cause, toy.CLINICIAN, origin=origin, views=dict.fromkeys(HEARD, timedelta()))


async def begin(runtime: Runtime) -> str:
    """A consented case whose review is open with the only partner."""
    case = f"case-{uuid.uuid4().hex}"
    noted = StopNoted(kind="consent_given", at=CONSENT.given_at, noted_from="urn:kapcare:intake", scopes=CONSENT.scopes)
    await run(runtime, case, lambda _state, _context: [noted], Origin("riverside", "patient-1"))
    await run(runtime, case, lambda state, context: opening(lambda: (NORTH,))(state, screened(), context))
    return case


async def test_ticks_and_the_holds_for_a_recalled_lot_tell_as_well(mongo_url: str) -> None:
    definition = define(lambda: (NORTH,), allow_loopback=True)
    settings = toy.settings_for(mongo_url, "127.0.0.1:1", toy.unique(), care_clock="movable")
    async with toy.runtime_of(definition, settings) as runtime:
        case = await begin(runtime)
        body = stated(plan_changed={"expires_at": system_now() + timedelta(days=2)}, evaluation={"mode": "in_person"})
        await run(runtime, case, lambda state, context: decide_as_partner(state, body, context, by="north"))
        fill = MedicationDispensed(
            prescription="p-1",
            fill_number=1,
            milligrams=Decimal(200),
            doses=2,
            lot="lot-7",
            dispensed_on=system_now().date(),
            dispenser="Corner Pharmacy",
        )
        await run(runtime, case, lambda _state, _context: [fill])
        await toy.keep_cache(runtime, case)
        runtime.decisions.recalled_lots = {"lot-7": "recall-1"}
        await LotHolds(runtime).place()
        assert await last(runtime, case) == ["SafetyHoldPlaced", "AlertRaised", ("north", "review.stopped", 1)]
        silent = await begin(runtime)
        await toy.keep_cache(runtime, case)
        await toy.keep_cache(runtime, silent)
        assert isinstance(runtime.clock, MovableCareClock)
        await runtime.clock.move_to(system_now() + timedelta(days=4))
        await Ticker("prescriber", runtime.database["cases"], runtime.decisions, runtime.clock, runtime.log).tick_due()
        assert await last(runtime, silent) == [
            "ReviewOverdue",
            "ReviewReassigned",
            "ReviewAssigned",
            "AlertRaised",
            ("north", "review.reassigned", 1),
        ]
        opened = await runtime.open_events(await commits_of(runtime, case))
        assert ("north", "approval.expired", 1) in [_shown(recorded.data) for recorded in opened]
