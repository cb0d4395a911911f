"""Record that a prescriber signed a prescription under an approval (R-15).

21 CFR 1306.22(a): no fill or refill more than six months after the date of issue, and at most five refills.
"""

from collections.abc import Iterator
from datetime import date
from typing import Annotated

from pydantic import Field

from services.prescriber.domain.plan import MOST_REFILLS
from services.prescriber.domain.reconcile import reconciled
from services.prescriber.domain.state import Case
from shared.events.base import EventData, Text
from shared.events.clinical import Milligrams, Route, TreatmentPlan
from shared.events.prescriber import PrescriptionIssued, StepRefused
from shared.pathway.context import Context
from shared.pathway.happened import EARLIEST
from shared.pathway.refusal import Refusal
from shared.pathway.stop import Request


class IssuePrescription(Request):
    """What was signed: milligrams of one dose, doses in one fill, refills beside the original fill, the day at the clinic.

    `issued_by` null for whoever records.
    """

    route: Route
    milligrams_per_dose: Milligrams
    doses: Annotated[int, Field(ge=1, le=100)]
    refills: Annotated[int, Field(ge=0, le=100)]
    issued_on: date
    issued_by: Text | None = None


def issue_prescription(case: Case, command: IssuePrescription, context: Context) -> list[EventData]:
    """Record the prescription under the approval in force, or that a rule refused it. Raises Refusal for impossible days only."""
    require_day("issued_on", command.issued_on, context)
    refused = [
        StepRefused(step="issue-prescription", rule=rule, detail=detail, facts=facts, policy_version=context.policy.version)
        for rule, detail, facts in _forbidden(case, command, context)
    ]
    if refused:
        return list(refused)
    issued = PrescriptionIssued(
        prescription=context.new_id("prescription"),
        request=case.supply.approved_request,
        route=command.route,
        milligrams_per_dose=command.milligrams_per_dose,
        doses=command.doses,
        refills=command.refills,
        issued_on=command.issued_on,
        issued_by=command.issued_by or context.actor.id,
        policy_version=context.policy.version,
    )
    return reconciled(case, issued, context)


def require_day(name: str, day: date, context: Context) -> None:
    """Raise Refusal (R-15) unless the named day can have been at the clinic."""
    if day > context.today:
        raise Refusal("time-in-the-future", f"{name} lies in the future at the clinic.", rule="R-15")
    if day < EARLIEST.date():
        raise Refusal("out-of-range", f"{name} lies before the year {EARLIEST.year}.", rule="R-15")


_Broken = tuple[str, str, dict[str, str]]
"""Rule, detail, facts."""


def _forbidden(case: Case, command: IssuePrescription, context: Context) -> Iterator[_Broken]:
    """What forbids it: a stop, no approval, or more than the approval and the law allow."""
    why = case.stops.why_stopped("treatment")
    if why is not None:
        yield why, "Consent or a safety hold forbids prescribing.", {}
        return
    plan, approved_at = case.plan, case.supply.approved_at
    if plan is None or approved_at is None:
        yield "R-15", "A prescription rests on an approval, and none is in force.", {}
        return
    issued_on = {"issued_on": command.issued_on.isoformat(), "approved_on": context.day_of(approved_at).isoformat()}
    if plan.expires_at <= context.now:
        yield "R-15", "The approval has expired.", {"expires_at": plan.expires_at.isoformat()}
    if command.issued_on < context.day_of(approved_at):
        yield "R-15", "It was issued before the approval that it must rest on.", issued_on
    yield from _above_the_law(command, context)
    yield from _above_the_plan(case, plan, command)


def _above_the_law(command: IssuePrescription, context: Context) -> Iterator[_Broken]:
    at_most = min(context.policy.on(command.route).refills_at_most, MOST_REFILLS)
    if command.refills > at_most:
        yield "R-15", f"At most {at_most} refills may be authorised (21 CFR 1306.22).", {"refills": str(command.refills)}


def _above_the_plan(case: Case, plan: TreatmentPlan, command: IssuePrescription) -> Iterator[_Broken]:
    """The route and dose band of the plan; and its doses, which all prescriptions on this approval share, refills counted."""
    if command.route != plan.route:
        yield "R-15", "The approval is for another route.", {"route": command.route, "approved": plan.route}
    if not plan.dose_mg_low <= command.milligrams_per_dose <= plan.dose_mg_high:
        facts = {"dose_mg": str(command.milligrams_per_dose), "low": str(plan.dose_mg_low), "high": str(plan.dose_mg_high)}
        yield "R-15", "The dose lies outside the approved band.", facts
    earlier = sum(issued.doses * issued.fills for issued in case.supply.resting_on(case.supply.approved_request))
    doses = command.doses * (1 + command.refills)
    if earlier + doses > plan.doses:
        facts = {"doses": str(doses), "prescribed_before": str(earlier), "approved": str(plan.doses)}
        yield "R-15", "With its refills it holds more doses than are approved.", facts
