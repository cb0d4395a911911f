"""Routes: which request leads to which decision, and what of a case is shown to whom. No rules."""

from typing import Any

from services.prescriber.domain.ask_again import AskForReview, ask_again
from services.prescriber.domain.clearance import AnswerClearances, answering
from services.prescriber.domain.decide import Decision, decide_in_house
from services.prescriber.domain.partner import ORIGIN, RegisterPartner, registering
from services.prescriber.domain.reassign import Reassign, reassigning
from services.prescriber.domain.review import Partners
from services.prescriber.domain.revoke import Revoke, revoke
from services.prescriber.domain.state import Case
from services.prescriber.domain.stops import STOPS, lifting
from shared.access.decide import Permission
from shared.pathway.refusal import Refusal
from shared.pathway.stop import LiftHold, PlaceHold, WithdrawConsent
from shared.service.definition import Command, View


def commands(partners: Partners, *, allow_loopback: bool) -> tuple[Command, ...]:
    """Return every POST of the service but the partners' signed decisions, which are no command of a user."""
    return (
        Command(
            path="/partners",
            body=RegisterPartner,
            decide=registering(partners, allow_loopback=allow_loopback),
            permission=Permission.MANAGE_PARTNERS,
            summary="Register a prescriber organisation",
            begins=lambda _body, _pseudonymise: ORIGIN,
            kind="partner",
            stream_id=lambda body: f"partner-{body.slug}",
        ),
        Command(
            path="/cases/{case}/decision",
            body=Decision,
            decide=decide_in_house,
            permission=Permission.DECIDE_ELIGIBILITY,
            summary="Decide a review that is assigned in-house",
            waits_for_inbox=True,
        ),
        Command(
            path="/cases/{case}/clearances",
            body=AnswerClearances,
            decide=answering(partners),
            permission=Permission.CLEAR,
            summary="Answer what the prescriber wants cleared",
        ),
        Command(
            path="/cases/{case}/reassignment",
            body=Reassign,
            decide=reassigning(partners),
            permission=Permission.REFER,
            summary="Give an open review to another organisation",
            waits_for_inbox=True,
        ),
        Command(
            path="/cases/{case}/review",
            body=AskForReview,
            decide=ask_again,
            permission=Permission.REFER,
            summary="Ask for another review of the same screening",
            waits_for_inbox=True,
        ),
        Command(
            path="/cases/{case}/revocation",
            body=Revoke,
            decide=revoke,
            permission=Permission.DECIDE_ELIGIBILITY,
            summary="Take an approval back",
        ),
        Command(
            path="/partner/reviews/{case}/revocation",
            body=Revoke,
            decide=revoke,
            permission=Permission.REVIEW_AS_PARTNER,
            summary="Take an approval back, as the partner that reviews the case",
        ),
        Command(
            path="/cases/{case}/consent-withdrawal",
            body=WithdrawConsent,
            decide=STOPS.withdraw,
            permission=Permission.STOP,
            summary="Record that the patient withdrew consent",
        ),
        Command(
            path="/cases/{case}/holds",
            body=PlaceHold,
            decide=STOPS.place,
            permission=Permission.STOP,
            summary="Place a safety hold",
        ),
        Command(
            path="/cases/{case}/holds/lift",
            body=LiftHold,
            decide=lifting(partners),
            permission=Permission.LIFT_HOLD,
            summary="Lift a safety hold with a reason",
        ),
    )


def show_case(case: Case) -> dict[str, Any]:
    """Show the review to those who care for the patient."""
    return {
        "status": case.status,
        "request": case.request,
        "partner": case.partner,
        "due_at": case.due_at,
        "overdue": case.overdue,
        "summary": case.summary,
        "clearances": case.clearances,
        "to_clear": case.to_clear,
        "answers": case.answers,
        "plan": case.plan,
        "consented": case.stops.consented,
        "holds": sorted(case.stops.holds),
    }


def show_review(case: Case) -> dict[str, Any]:
    """Disclose to the assigned partner what an open review needs, and no more; raises Refusal while disclosure is stopped."""
    case.stops.require_clear("disclosure_to_prescriber")
    if case.status != "in_review":
        raise Refusal("no-open-review", "No review of this case is open.")
    return {
        "request": case.request,
        "due_at": case.due_at,
        "summary": case.summary,
        "clearances": case.clearances,
        "answers": case.answers,
    }


VIEWS = (
    View(path="/cases/{case}", permission=Permission.READ_CASE, render=show_case, summary="The medical review of a case"),
    View(
        path="/partner/reviews/{case}",
        permission=Permission.REVIEW_AS_PARTNER,
        render=show_review,
        summary="What the assigned partner needs to decide",
        waits_for_inbox=True,
    ),
)
