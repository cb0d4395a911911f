"""Cases at every stage of a review, and what is exported of them."""

import json
from typing import Any

from services.prescriber.domain.clearance import Answer, AnswerClearances, answering
from services.prescriber.domain.decide import decide
from services.prescriber.domain.state import Case
from services.prescriber.domain.stops import STOPS
from services.prescriber.fhir_export import export
from shared.events.base import Slug
from shared.events.prescriber import IN_HOUSE, EligibilityExpired, EligibilityRevoked, ReviewRecalled, ReviewWithheld
from shared.fhir.record import bundle_of
from shared.pathway.stop import PlaceHold
from tests.unit.fhir.checks import check
from tests.unit.prescriber.given import NOW, context, decision, finding, in_review, nobody, partners, screened, summary, told
from tests.unit.prescriber.moved import correct, correct_issued, dispense, dispensing, last, named, prescribed, prescription

CASE, PATIENT = "case-" + "1" * 32, "patient-" + "e" * 32
SECRET = "he cried when he said it"
EXPIRED = EligibilityExpired(request=1, expires_at=NOW)
REVOKED = EligibilityRevoked(request=1, reason="other", note=SECRET, revoked_by="prescriber-7", revoked_at=NOW)


def exported(case: Case) -> dict[str, Any]:
    bundle = bundle_of(export)(CASE, "riverside", PATIENT, case)
    check(bundle)
    return json.loads(json.dumps(bundle))  # type: ignore[no-any-return]


def decided(case: Case, kind: str = "eligible", *, by: Slug = IN_HOUSE, **body: Any) -> Case:
    return told(case, decide(case, decision(kind, **body), context(), by=by))


def held(case: Case) -> Case:
    return told(case, STOPS.place(case, PlaceHold(reason="other", note=SECRET), context()))


def withheld() -> Case:
    return told(Case(), [ReviewWithheld(why="consent-missing", summary=summary())])


def awaiting() -> Case:
    return decided(in_review(finding("liver_disease")), "needs_clearance", items=["liver_disease"])


def cleared(cleared_too: bool = True) -> Case:
    answers = AnswerClearances(answers=(Answer(item="liver_disease", cleared=cleared_too, note=SECRET),))
    return told(awaiting(), answering(nobody)(awaiting(), answers, context()))


def corrected_cases() -> list[Case]:
    """A supply whose prescription and fill were marked in each way, and both amended."""
    supplied, at = told(prescribed(), dispense(prescribed())), context(seed="http:test/correction")
    of, fill = last(supplied), named(supplied)
    cases = [told(supplied, correct(supplied, fill, at, kind)) for kind in ("entered_in_error", "wrong_patient")]
    cases += [told(supplied, correct_issued(supplied, of, at, kind)) for kind in ("entered_in_error", "wrong_patient")]
    amended = told(supplied, correct(supplied, fill, at, "amended", dispensing=dispensing(of, milligrams="100")))
    again = correct_issued(amended, of, context(seed="http:test/again"), "amended", replacement=prescription(doses=1))
    return [*cases, amended, told(amended, again)]


def every_stage() -> list[Case]:
    approved = decided(in_review())
    again = told(approved, [screened()])
    stages = [Case(), withheld(), in_review(), in_review(who=partners), awaiting(), cleared(), approved, decided(in_review(), "ineligible")]
    ended = [told(approved, [event]) for event in (EXPIRED, REVOKED)]
    recalled = told(in_review(), [ReviewRecalled(request=1, why="screening-reopened", recalled_at=NOW)])
    supplied = told(prescribed(), dispense(prescribed()))
    stages += [
        *ended,
        recalled,
        supplied,
        told(supplied, dispense(supplied, context(seed="http:test/second"), of="prescription-of-nobody")),
        *corrected_cases(),
    ]
    return [*stages, again, *(held(case) for case in stages)]
