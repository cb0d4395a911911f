"""Opening, withholding, assigning and missing a review."""

from datetime import timedelta

import pytest

from services.prescriber.domain.review import opening
from services.prescriber.domain.state import Case
from services.prescriber.domain.stops import STOPS, lifting, noting
from shared.events import intake, integration, session
from shared.events.base import EventData
from shared.events.prescriber import IN_HOUSE, ReviewAssigned, ReviewOpened, ReviewWithheld, StopNoted
from shared.pathway.refusal import Refusal
from shared.pathway.stop import LiftHold, PlaceHold, WithdrawConsent
from tests.unit.prescriber.given import CONSENT, NOW, context, in_review, nobody, partners, screened, told

HOLD = intake.SafetyHoldPlaced(hold="hold-1", reason="suicide_risk", placed_at=NOW)
LIFTED = intake.SafetyHoldLifted(hold="hold-1", reason="closed by Dr. A", lifted_at=NOW)


def test_a_completed_screening_opens_and_assigns_a_review() -> None:
    case = told(Case(), [CONSENT])
    opened, assigned = opening(partners)(case, screened(), context())
    assert opened == ReviewOpened(request=1, summary=screened().summary, opened_at=NOW)
    assert isinstance(assigned, ReviewAssigned)
    assert assigned.partner in {"north", "south"}
    assert assigned.due_at == NOW + timedelta(hours=72)
    after = told(case, [opened, assigned])
    assert (after.status, after.request, after.partner) == ("in_review", 1, assigned.partner)


def test_without_partners_the_review_is_in_house() -> None:
    assert in_review().partner == IN_HOUSE


def test_a_new_screening_replaces_an_open_review_and_forgets_older_answers() -> None:
    case = in_review()
    again = told(case, opening(nobody)(case, screened(), context(seed="event:x/e2")))
    assert (again.status, again.request) == ("in_review", 2)
    assert again.answers == ()


@pytest.mark.parametrize(
    ("before", "why"),
    [
        ([], "consent-missing"),
        ([CONSENT.model_copy(update={"scopes": ("treatment",)})], "consent-does-not-cover"),
        ([CONSENT, intake.ConsentWithdrawn(withdrawn_at=NOW, said_to="intake")], "consent-withdrawn"),
        ([CONSENT, HOLD], "safety-hold"),
    ],
)
def test_b34_a_stop_withholds_the_review(before: list[EventData], why: str) -> None:
    case = told(Case(), before)
    assert opening(partners)(case, screened(), context()) == [ReviewWithheld(why=why, summary=screened().summary)]


def test_a_withheld_review_opens_when_the_stop_is_lifted_elsewhere() -> None:
    case = told(Case(), [CONSENT, HOLD])
    case = told(case, opening(partners)(case, screened(), context()))
    assert (case.status, case.request, case.deadlines) == ("withheld", 0, {})
    noted, opened, assigned = noting(partners)(case, LIFTED, context())
    assert isinstance(noted, StopNoted)
    assert isinstance(opened, ReviewOpened)
    assert isinstance(assigned, ReviewAssigned)
    assert opened.request == assigned.request == 1


def test_a_withheld_review_opens_when_a_prescriber_lifts_the_hold_here() -> None:
    case = told(Case(), [CONSENT])
    case = told(case, STOPS.place(case, PlaceHold(reason="clinical_concern"), context()))
    case = told(case, opening(partners)(case, screened(), context()))
    (hold,) = case.stops.holds
    events = lifting(partners)(case, LiftHold(hold=hold, reason="assessed"), context())
    assert [type(event).__name__ for event in events] == ["SafetyHoldLifted", "ReviewOpened", "ReviewAssigned"]


def test_a_review_stays_withheld_while_another_stop_is_in_force() -> None:
    case = told(Case(), [CONSENT, HOLD, HOLD.model_copy(update={"hold": "hold-2"})])
    case = told(case, opening(partners)(case, screened(), context()))
    assert [type(event) for event in noting(partners)(case, LIFTED, context())] == [StopNoted]


def test_consent_may_arrive_after_the_screening() -> None:
    case = told(Case(), opening(partners)(Case(), screened(), context()))
    assert case.status == "withheld"
    assert told(case, noting(partners)(case, CONSENT, context())).status == "in_review"


@pytest.mark.parametrize("service", [intake, session, integration])
def test_a_stop_may_be_the_first_thing_heard_of_a_case(service: object) -> None:
    withdrawn = service.ConsentWithdrawn(withdrawn_at=NOW, said_to="x")  # type: ignore[attr-defined]
    case = told(Case(), noting(partners)(Case(), withdrawn, context()))
    assert case.status == "not_screened"
    assert noting(partners)(case, withdrawn, context()) == []


def test_withdrawal_here_stops_disclosure() -> None:
    case = in_review()
    case = told(case, STOPS.withdraw(case, WithdrawConsent(withdrawn_at=NOW), context()))
    assert case.stops.why_stopped("disclosure_to_prescriber") == "consent-withdrawn"


def test_lifting_an_unknown_hold_is_refused() -> None:
    with pytest.raises(Refusal, match="No hold"):
        lifting(partners)(in_review(), LiftHold(hold="hold-9", reason="x"), context())
