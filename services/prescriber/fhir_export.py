"""The prescriber's part of a case in FHIR R4: referral, task, approved plan, medication. Pure; notes are never exported."""

from collections.abc import Iterator, Mapping
from typing import Final

from services.prescriber.domain.state import Case, CaseStatus
from services.prescriber.fhir_supply import fills, prescriptions
from shared.events.base import Slug
from shared.events.clinical import TreatmentPlan
from shared.fhir.codes import FULFIL, INDICATION, MEDICATION, ROUTE, local
from shared.fhir.elements import Element, concept, moment, number, period, quantity, said
from shared.fhir.record import Record, Resource

REQUESTED: Final[Mapping[CaseStatus, str]] = {
    "withheld": "on-hold",
    "in_review": "active",
    "awaiting_clearance": "active",
    "clearance_answered": "active",
    "approved": "completed",
    "declined": "completed",
    "expired": "completed",
    "revoked": "completed",
    "recalled": "revoked",
}
"""ServiceRequest.status; a recalled review is wanted no more, and a case that is not screened is not referred yet."""
ASKED: Final[Mapping[CaseStatus, str]] = {
    "in_review": "requested",
    "awaiting_clearance": "on-hold",
    "clearance_answered": "on-hold",
    "approved": "completed",
    "declined": "completed",
    "expired": "completed",
    "revoked": "completed",
}
"""Task.status. "Not eligible" completes the task: the review that was asked for was done. A withheld or recalled review has no task."""
DECISION: Final[Mapping[CaseStatus, str]] = {
    "approved": "eligible",
    "expired": "eligible",
    "revoked": "eligible",
    "declined": "ineligible",
    "awaiting_clearance": "needs_clearance",
}
"""What was decided; that an approval ended since is the task's business status."""
OPEN: Final = frozenset({"requested", "active"})


def export(case: str, clinic: str, patient: str, state: Case) -> list[Resource]:
    """Return the resources of the case as it stands."""
    record = Record(case, clinic, patient)
    return [
        record.person(None if state.summary is None else state.summary.sex),
        record.organisation("clinic", clinic),
        *_asked_of(record, state),
        *_referral(record, state),
        *_task(record, state),
        *_plan(record, state),
        *prescriptions(record, state),
        *fills(record, state),
    ]


def _asked_of(record: Record, state: Case) -> Iterator[Resource]:
    if state.partner is not None and state.status in ASKED:
        yield record.organisation("prescriber", state.partner)


def _referral(record: Record, state: Case) -> Iterator[Resource]:
    if state.status not in REQUESTED:
        return
    status, _ = _unless_stopped(state, REQUESTED[state.status])
    yield record.resource(
        "ServiceRequest",
        "medical-review",
        status=status,
        intent="order",
        code=concept(local("medical-review"), "Medical review for ketamine-assisted psychotherapy"),
        subject=record.subject,
        authoredOn=moment(state.opened_at),
        requester=record.organisation_reference("clinic", record.clinic),
        performer=[_prescriber(record, state.partner)] if state.partner is not None and state.status in ASKED else None,
        reasonCode=_reason(state),
    )


def _task(record: Record, state: Case) -> Iterator[Resource]:
    if state.partner is None or state.status not in ASKED:
        return
    status, why = _unless_stopped(state, ASKED[state.status])
    yield record.resource(
        "Task",
        "medical-review",
        status=status,
        statusReason=why,
        businessStatus=concept(local(f"review.{state.status}"), state.status.replace("_", " ") + (", overdue" if state.overdue else "")),
        intent="order",
        code=concept(FULFIL, "Decide on eligibility"),
        focus=record.reference("ServiceRequest", "medical-review"),
        authoredOn=moment(state.opened_at),
        lastModified=moment(state.decided_at),
        requester=record.organisation_reference("clinic", record.clinic),
        owner=_prescriber(record, state.partner),
        restriction=None if state.due_at is None else {"period": period(None, state.due_at)},
        output=[*_decision(state)],
        **{"for": record.subject},
    )


def _decision(state: Case) -> Iterator[Element]:
    decision = DECISION.get(state.status)
    if decision is not None:
        yield _output("decision", decision)
    for item in state.to_clear:
        yield _output("clearance-asked", item)


def _output(kind: str, word: str) -> Element:
    words = word.replace("_", " ")
    return {"type": concept(local(kind), kind.replace("-", " ")), "valueCodeableConcept": concept(local(f"{kind}.{word}"), words)}


def _plan(record: Record, state: Case) -> Iterator[Resource]:
    """The approved plan. `intent` is plan: it says what was decided, and is no prescription that anyone may fill."""
    if state.plan is None:
        return
    plan, stopped = state.plan, state.stops.why_stopped("treatment")
    # A later review may be open, with another organisation: then nothing here says who approved.
    is_latest = state.plan_request == state.request and state.partner is not None and state.status in ASKED
    yield record.resource(
        "MedicationRequest",
        "plan",
        status="active" if stopped is None else "on-hold",
        statusReason=None if stopped is None else _stop(stopped),
        intent="plan",
        medicationCodeableConcept=concept(*MEDICATION[plan.route]),
        subject=record.subject,
        authoredOn=moment(state.approved_at),
        requester=_prescriber(record, state.partner) if is_latest and state.partner is not None else None,
        reasonCode=_reason(state),
        basedOn=[record.reference("ServiceRequest", "medical-review")] if is_latest else None,
        dosageInstruction=[_dosage(plan)],
        dispenseRequest={
            "validityPeriod": period(state.approved_at, plan.expires_at),
            "numberOfRepeatsAllowed": plan.refills,
            "quantity": {"value": plan.doses, "unit": "dose"},
        },
    )


def _dosage(plan: TreatmentPlan) -> Element:
    """Dose band in mg, number of doses, and the limits of R-18 to R-23 in words made from the plan's numbers."""
    low, high, limits = number(plan.dose_mg_low), number(plan.dose_mg_high), plan.limits
    pressure = f"{limits.hold_above.systolic}/{limits.hold_above.diastolic}"
    return said(
        text=f"{low} to {high} mg, at most {number(plan.mg_per_kg_high)} mg/kg, {plan.doses} doses in all",
        additionalInstruction=[
            concept(local(f"intent.{plan.intent}"), plan.intent),
            concept(local("limit.hold-above"), f"Hold the dose while blood pressure is above {pressure} mmHg"),
            concept(
                local("limit.second-pressure"), f"Take the second blood pressure {limits.second_pressure_after_minutes} min after the dose"
            ),
            concept(local("limit.minimum-stay"), f"Discharge no earlier than {limits.minimum_stay_minutes} min after the dose"),
        ],
        timing={"repeat": {"count": plan.doses}},
        route=concept(*ROUTE[plan.route]),
        doseAndRate=[{"doseRange": {"low": quantity(plan.dose_mg_low, "mg"), "high": quantity(plan.dose_mg_high, "mg")}}],
        maxDosePerAdministration=quantity(plan.dose_mg_high, "mg"),
    )


def _unless_stopped(state: Case, status: str) -> tuple[str, Element | None]:
    """While consent or a hold stops disclosure, what is open is on hold; what was decided stays so."""
    stopped = state.stops.why_stopped("disclosure_to_prescriber")
    return (status, None) if stopped is None or status not in OPEN else ("on-hold", _stop(stopped))


def _stop(slug: str) -> Element:
    return concept(local(f"stop.{slug}"), slug.replace("-", " "))


def _prescriber(record: Record, partner: Slug) -> Element:
    return record.organisation_reference("prescriber", partner)


def _reason(state: Case) -> list[Element]:
    return [] if state.summary is None else [concept(*INDICATION[state.summary.indication])]
