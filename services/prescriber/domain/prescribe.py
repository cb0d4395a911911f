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
from services.prescriber.domain.supply import Approval
from shared.events.base import EventData, Text
from shared.events.clinical import Milligrams, Route
from shared.events.prescriber import StepRefused
from shared.events.supply import PrescriptionIssued
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


def issue_prescription(
    case: Case, command: IssuePrescription, context: Context, replaces: PrescriptionIssued | None = None
) -> list[EventData]:
    """Record the prescription under the approval in force, or that a rule refused it. Raises Refusal for impossible days only.

    One that replaces another rests on the same approval, whatever became of that since: it was signed then.
    """
    require_day("issued_on", command.issued_on, context)
    asked, version = command.model_dump(mode="json"), context.policy.version
    refused = [
        StepRefused(step="issue-prescription", rule=rule, detail=detail, facts=facts, policy_version=version, asked=asked)
        for rule, detail, facts in _forbidden(case, command, context, replaces)
    ]
    if refused:
        return list(refused)
    issued = PrescriptionIssued(
        prescription=context.new_id("prescription"),
        request=case.plan_request if replaces is None else replaces.request,
        route=command.route,
        milligrams_per_dose=command.milligrams_per_dose,
        doses=command.doses,
        refills=command.refills,
        issued_on=command.issued_on,
        issued_by=command.issued_by or context.actor.id,
        policy_version=context.policy.version,
        replaces=None if replaces is None else replaces.prescription,
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


def _forbidden(case: Case, command: IssuePrescription, context: Context, replaces: PrescriptionIssued | None) -> Iterator[_Broken]:
    """What forbids it: a stop, no approval, or more than the approval and the law allow."""
    why = case.stops.why_stopped("treatment")
    if replaces is None and why is not None:
        yield "R-10" if why == "safety-hold" else "R-20", "Consent or a safety hold forbids prescribing.", {"because": why}
        return
    approval = _in_force(case) if replaces is None else case.supply.approval(replaces.request)
    if approval is None:
        yield "R-15", "A prescription rests on an approval, and none is in force.", {}
        return
    approved_on, expires_at = context.day_of(approval.decided_at), approval.plan.expires_at
    # What replaces another was signed on its day; what is new is signed now.
    expired = expires_at <= context.now if replaces is None else context.day_of(expires_at) < command.issued_on
    if expired:
        yield "R-15", "The approval has expired.", {"expires_at": expires_at.isoformat()}
    if command.issued_on < approved_on:
        issued_on = {"issued_on": command.issued_on.isoformat(), "approved_on": approved_on.isoformat()}
        yield "R-15", "It was issued before the approval that it must rest on.", issued_on
    yield from _above_the_law(command, context)
    yield from _above_the_plan(case, approval, command)


def _in_force(case: Case) -> Approval | None:
    return None if case.plan is None else case.supply.approval(case.plan_request)


def _above_the_law(command: IssuePrescription, context: Context) -> Iterator[_Broken]:
    at_most = min(context.policy.on(command.route).refills_at_most, MOST_REFILLS)
    if command.refills > at_most:
        yield "R-15", f"At most {at_most} refills may be authorised (21 CFR 1306.22).", {"refills": str(command.refills)}


def _above_the_plan(case: Case, approval: Approval, command: IssuePrescription) -> Iterator[_Broken]:
    """The route and dose band of the plan; and its doses, which all prescriptions on this approval share, refills counted."""
    plan = approval.plan
    if command.route != plan.route:
        yield "R-15", "The approval is for another route.", {"route": command.route, "approved": plan.route}
    if not plan.dose_mg_low <= command.milligrams_per_dose <= plan.dose_mg_high:
        facts = {"dose_mg": str(command.milligrams_per_dose), "low": str(plan.dose_mg_low), "high": str(plan.dose_mg_high)}
        yield "R-15", "The dose lies outside the approved band.", facts
    earlier = sum(issued.doses * issued.fills for issued in case.supply.resting_on(approval.request))
    doses = command.doses * (1 + command.refills)
    if earlier + doses > plan.doses:
        facts = {"doses": str(doses), "prescribed_before": str(earlier), "approved": str(plan.doses)}
        yield "R-15", "With its refills it holds more doses than are approved.", facts
