"""Routes: which request leads to which decision, and what of a case is shown to whom. No rules."""

from dataclasses import asdict, fields
from typing import Any

from services.prescriber.domain.alerts import ALERT
from services.prescriber.domain.ask_again import AskForReview, asking_again
from services.prescriber.domain.clearance import AnswerClearances, answering
from services.prescriber.domain.correct import CorrectMovement, CorrectPrescription, correct_movement, correct_prescription
from services.prescriber.domain.decide import HEARD, Decision, decide_in_house
from services.prescriber.domain.dispense import RecordDispensing, last_day, record_dispensing
from services.prescriber.domain.dispose import RecordReturn, RecordWastage, record_return, record_wastage
from services.prescriber.domain.lot import RecallLot, WithdrawRecall, recall_lot, withdraw_recall
from services.prescriber.domain.partners.register import RegisterPartner, registering
from services.prescriber.domain.partners.replay import AskForTest, ask_for_example, ask_for_test
from services.prescriber.domain.partners.state import ORIGIN, Partners
from services.prescriber.domain.prescribe import IssuePrescription, issue_prescription
from services.prescriber.domain.reassign import Reassign, reassigning
from services.prescriber.domain.revoke import Revoke, revoke
from services.prescriber.domain.state import Case
from services.prescriber.domain.stops import STOPS, lifting
from services.prescriber.domain.substance_use import is_withheld, terms_of_disclosure, without_substance_use
from services.prescriber.domain.supply import Balance, Line, Supply
from services.prescriber.fhir_export import export
from services.prescriber.partners.commands import partner_commands
from shared.access.decide import Permission
from shared.fhir.record import MEDIA_TYPE, bundle_of
from shared.pathway.adoption import STREAM, AdoptPolicy, adopt
from shared.pathway.alert import AcknowledgeAlert, show
from shared.pathway.policy import Policy
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
        *partner_commands(partners, allow_loopback=allow_loopback),
        Command(
            path="/policy/adoption",
            body=AdoptPolicy,
            decide=adopt,
            permission=Permission.ADOPT_POLICY,
            summary="Adopt a policy document for the network",
            begins=lambda _body, _pseudonymise: ORIGIN,
            kind="policy",
            stream_id=lambda _body: STREAM,
        ),
        Command(
            path="/lots/{lot}/recall",
            body=RecallLot,
            decide=recall_lot,
            permission=Permission.RECALL_LOT,
            summary="Recall a lot for the network",
            begins=lambda _body, _pseudonymise: ORIGIN,
            kind="lot",
            named_by_path=True,
        ),
        Command(
            path="/lots/{lot}/recall/withdrawal",
            body=WithdrawRecall,
            decide=withdraw_recall,
            permission=Permission.RECALL_LOT,
            summary="Withdraw the recall of a lot",
            kind="lot",
            named_by_path=True,
        ),
        Command(
            path="/cases/{case}/decision",
            body=Decision,
            decide=decide_in_house,
            permission=Permission.DECIDE_ELIGIBILITY,
            summary="Decide a review that is assigned in-house",
            waits_for_inbox=True,
            views_of=HEARD,
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
            decide=asking_again(partners),
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
            path="/partner/endpoints/test",
            body=AskForTest,
            decide=ask_for_test,
            permission=Permission.REVIEW_AS_PARTNER,
            summary="Ask for a test event to an endpoint of your organisation",
            kind="partner",
            named_by_organisation=True,
        ),
        Command(
            path="/partner/sandbox/reviews",
            body=AskForTest,
            decide=ask_for_example,
            permission=Permission.REVIEW_AS_PARTNER,
            summary="Ask for an example review, of no patient",
            kind="partner",
            named_by_organisation=True,
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
        Command(
            path="/cases/{case}/alerts/acknowledge",
            body=AcknowledgeAlert,
            decide=ALERT.acknowledge,
            permission=Permission.ACKNOWLEDGE,
            summary="Take an alert on",
        ),
        Command(
            path="/cases/{case}/prescriptions",
            body=IssuePrescription,
            decide=issue_prescription,
            permission=Permission.DECIDE_ELIGIBILITY,
            summary="Record a prescription that was signed under the approval",
            waits_for_inbox=True,
        ),
        Command(
            path="/cases/{case}/dispensings",
            body=RecordDispensing,
            decide=record_dispensing,
            permission=Permission.ACCOUNT_FOR_SUPPLY,
            summary="Record a fill that was dispensed",
        ),
        Command(
            path="/cases/{case}/wastage",
            body=RecordWastage,
            decide=record_wastage,
            permission=Permission.ACCOUNT_FOR_SUPPLY,
            summary="Record medication that was destroyed before a witness",
        ),
        Command(
            path="/cases/{case}/returns",
            body=RecordReturn,
            decide=record_return,
            permission=Permission.ACCOUNT_FOR_SUPPLY,
            summary="Record medication that was returned",
        ),
        Command(
            path="/cases/{case}/prescriptions/corrections",
            body=CorrectPrescription,
            decide=correct_prescription,
            permission=Permission.DECIDE_ELIGIBILITY,
            summary="Mark a prescription as wrong, or amend it",
        ),
        Command(
            path="/cases/{case}/supply/corrections",
            body=CorrectMovement,
            decide=correct_movement,
            permission=Permission.ACCOUNT_FOR_SUPPLY,
            summary="Mark a fill, a wastage or a return as wrong, or amend it",
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
        "plan_request": case.plan_request,
        "approved_by": case.approved_by,
        "supply": {"balance": show_balance(case.supply.balance), "prescriptions": _show_prescriptions(case.supply)},
        "deteriorations": case.deteriorations,
        "consented": case.stops.consented,
        "holds": sorted(case.stops.holds),
        "alerts": show(case.alerts),
    }


def show_review(case: Case, clinic: str, policy: Policy) -> dict[str, Any]:
    """Disclose to the assigned partner what an open review needs, and no more; raises Refusal while disclosure is stopped.

    Substance-use content of a Part 2 program only under the consent that covers it (R-33).
    """
    case.stops.require_clear("disclosure_to_prescriber")
    if case.status != "in_review":
        raise Refusal("no-open-review", "No review of this case is open.")
    shown = without_substance_use(case) if is_withheld(case, clinic, policy) else case
    return {
        "request": shown.request,
        "due_at": shown.due_at,
        "summary": shown.summary,
        "clearances": shown.clearances,
        "answers": shown.answers,
        **terms_of_disclosure(case, clinic, policy),
    }


def show_supply(case: Case) -> dict[str, Any]:
    """Show the ledger of the case line by line with its running balance, in milligrams; marked lines say why they moved nothing."""
    supply = case.supply
    return {
        "balance": show_balance(supply.balance),
        "prescriptions": _show_prescriptions(supply),
        "lines": [_show_line(line, after) for line, after in zip(supply.lines, supply.balances, strict=True)],
        "alarms": [{**alarm.model_dump(), "open": alarm in supply.open_alarms} for alarm in supply.alarms],
        "reconcile_by": supply.reconcile_by,
    }


def _show_line(line: Line, after: Balance) -> dict[str, Any]:
    mark = line.corrected
    corrected = None if mark is None else {"kind": mark.kind, "reason": mark.reason, "by": mark.corrected_by, "at": mark.corrected_at}
    shown = {field.name: getattr(line, field.name) for field in fields(line) if field.name != "issued"}
    return {**shown, "corrected": corrected, **show_balance(after)}


def _show_prescriptions(supply: Supply) -> list[dict[str, Any]]:
    return [
        {
            **issued.model_dump(),
            "milligrams": issued.milligrams,
            "dispensed": supply.dispensed(issued.prescription),
            "fills_left": max(0, issued.fills - len({fill.fill_number for fill in supply.fills_of(issued.prescription)})),
            "last_day": last_day(issued),
        }
        for issued in supply.prescriptions
    ]


def show_balance(balance: Balance) -> dict[str, Any]:
    """Show sums in milligrams; `on_hand` is negative where more was used than dispensed."""
    return {**asdict(balance), "on_hand": balance.on_hand}


VIEWS = (
    View(path="/cases/{case}", permission=Permission.READ_CASE, render=show_case, summary="The medical review of a case"),
    View(
        path="/cases/{case}/fhir",
        permission=Permission.READ_CASE,
        render=bundle_of(export),
        summary="The referral, the approved plan and the medication as a FHIR R4 bundle",
        media_type=MEDIA_TYPE,
        whole=True,
    ),
    View(
        path="/partner/reviews/{case}",
        permission=Permission.REVIEW_AS_PARTNER,
        render=show_review,
        summary="What the assigned partner needs to decide",
        waits_for_inbox=True,
        by_policy=True,
    ),
    View(
        path="/cases/{case}/supply", permission=Permission.READ_CASE, render=show_supply, summary="The medication of a case, in milligrams"
    ),
)
