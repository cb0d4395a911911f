"""The limits of a treatment plan: what no prescriber may order through this network, and what only deserves a warning."""

import calendar
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Final

from services.prescriber.domain.state import Case
from shared.events.base import Slug
from shared.events.clinical import TreatmentPlan
from shared.events.prescriber import StepRefused
from shared.pathway.context import Context
from shared.pathway.plausible_dose import is_plausible, plausible_milligrams

LONGEST_SUPPLY_MONTHS: Final = 6
"""No fill of a schedule III drug more than six months after its date of issue (21 CFR 1306.22(a))."""
MOST_REFILLS: Final = 5
"""No more refills of a schedule III drug, whatever a policy says (21 CFR 1306.22(a))."""


def hard_limits(case: Case, plan: TreatmentPlan, context: Context) -> list[StepRefused]:
    """Return a recorded refusal for each limit that the plan breaks; none if it may stand."""
    broken = [*_expiry(plan, context), *_refills(plan, context), *_dose(case, plan, context)]
    return [
        StepRefused(step="approve", rule=rule, detail=detail, facts=facts, policy_version=context.policy.version)
        for rule, detail, facts in broken
    ]


def supply_warnings(case: Case, plan: TreatmentPlan, follow_up_on: date | None, context: Context) -> tuple[Slug, ...]:
    """R-17: return what is unusual in the number of doses, and in a supply that continues another one.

    A first supply is small; the next one follows a visit [about 30 days] later (Journey Clinical, JC2 and JC4). A visit
    counts from the clinic's day of the last approval on, and not before it was held.
    """
    values = context.policy.on(plan.route)
    if case.approved_at is None:
        return ("first-supply-above-policy",) if plan.doses > values.first_supply_doses else ()
    found: list[Slug] = ["next-supply-above-policy"] if plan.doses > values.next_supply_doses else []
    supplied_on = context.day_of(case.approved_at)
    if follow_up_on is None or not supplied_on <= follow_up_on <= context.today:
        found.append("no-follow-up-visit")
    elif follow_up_on < supplied_on + timedelta(days=values.follow_up_after_days):
        found.append("early-follow-up-visit")
    return tuple(found)


def dose_warnings(plan: TreatmentPlan, context: Context) -> tuple[Slug, ...]:
    """R-18: return what is unusual in a dose within its limits."""
    values = context.policy.on(plan.route)
    found: list[Slug] = []
    if plan.route == "sublingual" and plan.dose_mg_high > values.sublingual_warn_above_mg:
        found.append("sublingual-dose-above-usual")
    if plan.route == "intravenous":
        if plan.mg_per_kg_high > _exact(values.intravenous_warn_above_mg_per_kg):
            found.append("intravenous-dose-above-usual")
        if plan.mg_per_kg_high < _exact(values.intravenous_warn_below_mg_per_kg):
            found.append("intravenous-dose-below-usual")
    return tuple(found)


def months_after(moment: datetime, months: int) -> datetime:
    """Return the same day and time so many months later, or the last day of a month that is too short."""
    year, month = divmod(moment.year * 12 + moment.month - 1 + months, 12)
    day = min(moment.day, calendar.monthrange(year, month + 1)[1])
    return moment.replace(year=year, month=month + 1, day=day)


_Broken = tuple[str, str, dict[str, str]]
"""Rule, detail, facts."""


def _expiry(plan: TreatmentPlan, context: Context) -> list[_Broken]:
    """R-15: an approval ends after it begins, within six months, and within what the site allows."""
    days = context.policy.on(plan.route).approval_valid_days
    facts = {"decided_at": context.now.isoformat(), "expires_at": plan.expires_at.isoformat()}
    if plan.expires_at <= context.now:
        return [("R-15", "The plan expires before it begins.", facts)]
    if plan.expires_at > months_after(context.now, LONGEST_SUPPLY_MONTHS):
        return [("R-15", "The plan expires more than six months after the decision (21 CFR 1306.22).", facts)]
    if plan.expires_at > context.now + timedelta(days=days):
        return [("R-15", f"The plan expires more than {days} days after the decision, which the policy forbids.", facts)]
    return []


def _refills(plan: TreatmentPlan, context: Context) -> list[_Broken]:
    """R-15: no more refills than the law and the site allow."""
    at_most = min(context.policy.on(plan.route).refills_at_most, MOST_REFILLS)
    if plan.refills <= at_most:
        return []
    facts = {"refills": str(plan.refills), "refills_at_most": str(at_most)}
    return [("R-15", f"More than {at_most} refills cannot be authorised (21 CFR 1306.22).", facts)]


def _dose(case: Case, plan: TreatmentPlan, context: Context) -> list[_Broken]:
    """R-18: a band of doses in milligrams, esketamine in the doses its label knows, injections below the anaesthetic range."""
    values = context.policy.on(plan.route)
    broken: list[_Broken] = []
    band = {"route": plan.route, "dose_mg_low": str(plan.dose_mg_low), "dose_mg_high": str(plan.dose_mg_high)}
    if plan.dose_mg_low > plan.dose_mg_high:
        broken.append(("R-18", "The lower dose is above the higher one.", band))
    if not all(is_plausible(dose, plan.route, values) for dose in (plan.dose_mg_low, plan.dose_mg_high)):
        low, high = plausible_milligrams(plan.route, values)
        broken.append(("R-18", f"A dose in milligrams by this route lies from {low:g} to {high:g}; was another unit meant?", band))
    if plan.route == "intranasal_esketamine" and not {plan.dose_mg_low, plan.dose_mg_high} <= set(values.esketamine_doses_mg):
        broken.append(("R-18", "Esketamine is given in the doses of the policy only.", band))
    if plan.route in {"intravenous", "intramuscular"}:
        highest = _exact(values.parenteral_block_above_mg_per_kg)
        per_kilogram = [plan.mg_per_kg_high]
        if case.summary is not None and case.summary.weight_kg is not None:
            per_kilogram.append(plan.dose_mg_high / case.summary.weight_kg)
        if max(per_kilogram) > highest:
            facts = {**band, "mg_per_kg": f"{max(per_kilogram):.3f}"}
            broken.append(("R-18", f"Above {highest} mg/kg an injection reaches the anaesthetic range.", facts))
    return broken


def _exact(value: float) -> Decimal:
    """Policy documents write decimals; 0.2 means exactly 0.2."""
    return Decimal(str(value))
