"""R-18: how much is given: possible, within the plan, on a recent weight, and how unusual it is."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal

from services.session.domain.dose_in_question import DoseInQuestion
from services.session.domain.objection import Objection
from shared.events.base import Slug
from shared.events.clinical import Route, TreatmentPlan
from shared.events.session import PreDoseChecked
from shared.pathway.plausible_dose import is_plausible, plausible_milligrams
from shared.pathway.policy import PolicyValues
from shared.pathway.refusal import Refusal


def require_milligrams(dose_mg: Decimal, route: Route, policy: PolicyValues) -> None:
    """Raise Refusal for what can be no dose in milligrams by this route: milligrams per kilogram, or grams, were meant (R-18)."""
    if not is_plausible(dose_mg, route, policy):
        low, high = plausible_milligrams(route, policy)
        raise Refusal(
            "out-of-range",
            f"dose_mg is no dose in milligrams by this route, which lies from {low:g} to {high:g}; was another unit meant?",
            rule="R-18",
        )


def milligrams_per_kilogram(dose_mg: Decimal, checks: PreDoseChecked) -> Decimal:
    """Return mg/kg to two decimals, for people; rules compare without rounding."""
    return (dose_mg / checks.weight_kg).quantize(Decimal("0.01"))


def amount_objections(dose: DoseInQuestion, plan: TreatmentPlan | None, policy: PolicyValues) -> Iterator[Objection]:
    """R-18: a recent weight, the plan's band in mg and mg/kg, the anaesthetic range (SM1), esketamine's own doses (SP5), boosters."""
    total, checks = dose.total_mg, dose.checks
    facts = {"total_mg": str(total), "route": str(dose.route)}
    if plan is not None and not plan.dose_mg_low <= total <= plan.dose_mg_high:
        band = {**facts, "band_mg": f"{plan.dose_mg_low}-{plan.dose_mg_high}"}
        yield Objection("R-18", "outside-plan", "The dose lies outside the plan's band.", band)
    if dose.route == "intranasal_esketamine" and total not in policy.esketamine_doses_mg:
        yield Objection("R-18", "not-an-esketamine-dose", "Esketamine is given in the doses of the policy only.", facts)
    if checks is not None:
        yield from _by_weight(dose, checks, plan, policy)
    if dose.booster:
        yield from _too_soon(dose, policy)


def amount_warnings(dose: DoseInQuestion, policy: PolicyValues) -> Iterator[Slug]:
    """R-18: what is unusual and still allowed: much or little for the route, an infusion faster than over [40] minutes (OL1)."""
    total, checks = dose.total_mg, dose.checks
    if dose.route == "intravenous":
        if checks is not None and total < _exact(policy.intravenous_warn_below_mg_per_kg) * checks.weight_kg:
            yield "intravenous-below-usual"
        if checks is not None and total > _exact(policy.intravenous_warn_above_mg_per_kg) * checks.weight_kg:
            yield "intravenous-above-usual"
        if dose.infusion_minutes is None:
            yield "infusion-time-not-stated"
        elif dose.infusion_minutes < policy.infusion_minutes:
            yield "infusion-shorter-than-usual"
    if dose.route == "sublingual" and total > policy.sublingual_warn_above_mg:
        yield "sublingual-above-usual"


def _by_weight(dose: DoseInQuestion, checks: PreDoseChecked, plan: TreatmentPlan | None, policy: PolicyValues) -> Iterator[Objection]:
    facts = {"total_mg": str(dose.total_mg), "weight_kg": str(checks.weight_kg), "route": str(dose.route)}
    if dose.at - checks.weighed_at > timedelta(days=policy.weight_valid_days):
        weighed = {"weighed_at": checks.weighed_at.isoformat()}
        yield Objection("R-18", "weight-too-old", f"The weight is older than {policy.weight_valid_days} days.", weighed)
    if plan is not None and dose.total_mg > plan.mg_per_kg_high * checks.weight_kg:
        highest = {**facts, "mg_per_kg_high": str(plan.mg_per_kg_high)}
        yield Objection("R-18", "above-plan-per-kilogram", "The dose is above the plan's mg/kg for this weight.", highest)
    anaesthetic = _exact(policy.parenteral_block_above_mg_per_kg)
    if dose.route in {"intravenous", "intramuscular"} and dose.total_mg > anaesthetic * checks.weight_kg:
        yield Objection("R-18", "anaesthetic-range", f"Above {anaesthetic} mg/kg an injection reaches the anaesthetic range.", facts)


def _too_soon(dose: DoseInQuestion, policy: PolicyValues) -> Iterator[Objection]:
    """A booster before the dose can be felt adds to what nobody has seen yet."""
    given = [earlier.given_at for earlier in dose.session.doses if earlier.given_at <= dose.at]
    if given and dose.at - max(given) < timedelta(minutes=policy.booster_after_minutes):
        detail = f"A booster is given {policy.booster_after_minutes} minutes after the dose before it, or later."
        yield Objection("R-18", "booster-too-soon", detail, {"last_dose_at": max(given).isoformat()})


def _exact(number: float) -> Decimal:
    """Policy documents write decimals; 0.2 means exactly 0.2."""
    return Decimal(str(number))
