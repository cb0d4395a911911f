"""Completing the screening: what must be there, what refuses it, and what the rules make of the case."""

from decimal import Decimal
from typing import Literal, get_args

from services.intake.domain.chart import Chart, items_of
from services.intake.domain.codes import DAST10, WEIGHT
from services.intake.domain.rules import Findings, excluding, findings
from services.intake.domain.state import Case, Referral
from shared.events import intake
from shared.events.base import EventData, Text
from shared.events.clinical import Fact, RiskLevel, Score, ScreeningSummary
from shared.pathway.context import Context
from shared.pathway.instruments import UNSCORED, score
from shared.pathway.refusal import Refusal
from shared.pathway.stop import Request

SCOPES: tuple[Literal["treatment", "disclosure_to_prescriber"], ...] = ("treatment", "disclosure_to_prescriber")
"""What the consent must cover before the case goes to a prescriber (R-20)."""


class CompleteScreening(Request):
    """Apply the rules and close the screening; `note` is for the prescriber."""

    note: Text | None = None


def complete_screening(case: Case, command: CompleteScreening, context: Context) -> list[EventData]:
    """Screen the case: completed, screened out, or refused by a rule; raise Refusal while something is missing."""
    referral = case.require_referral()
    _require_open(case, context)
    refused = _refused(case, context)
    if refused is not None:
        return [refused]
    _require_answers(case)
    chart = chart_of(case, referral, context)
    found = findings(chart)
    version = context.policy.version
    if excluding(found):
        return [intake.ScreenedOut(reasons=excluding(found), screened_at=context.now, policy_version=version)]
    summary = _summary(case, referral, chart, found, command)
    return [intake.ScreeningCompleted(summary=summary, completed_at=context.now, policy_version=version)]


def chart_of(case: Case, referral: Referral, context: Context) -> Chart:
    """Return what the rules read, scored under the policy in force."""
    policy = context.policy.values
    return Chart(
        today=context.today,
        birth_date=referral.birth_date,
        sex=referral.sex,
        facts=_facts(case, context),
        scored={each.instrument: score(each.instrument, each.answers, policy, referral.sex) for each in case.answered},
        policy=policy,
        stated={score.instrument: score for score in case.scores},
    )


def _facts(case: Case, context: Context) -> tuple[Fact, ...]:
    """Return the facts, among them the newest stated DAST-10 where it was said: the rules read it like one from a chart (R-12)."""
    facts: list[Fact] = []
    for entry in case.counting:
        facts.extend(entry.facts)
        if entry.score is not None and entry.score.instrument == "dast-10":
            day = context.day_of(entry.score.answered_at)
            observed = Fact(
                kind="observation", system="loinc", code=DAST10.loinc, label=DAST10.name, value=Decimal(entry.score.total), on=day
            )
            facts.append(observed)
    return tuple(facts)


def _require_open(case: Case, context: Context) -> None:
    """A case that should not be goes nowhere. A screening ends the matter, but for a renewal, and a deferral whose day has come (R-05)."""
    case.require_going_on()
    if case.outcome is None or case.renewing_since is not None:
        return
    if case.outcome.kind == "completed":
        raise Refusal("already-screened", "The screening of this case is completed.")
    day = case.outcome.deferred_until
    if day is None:
        raise Refusal("screened-out", "The case was screened out; a new referral begins anew.")
    if context.today < day:
        raise Refusal("deferred", "The case is deferred to a later day; see the screening.", rule="R-05")


def _refused(case: Case, context: Context) -> intake.StepRefused | None:
    """Return the recorded refusal of a rule: consent and holds first, then suicide risk."""
    for scope in SCOPES:
        try:
            case.stops.require_clear(scope)
        except Refusal as stopped:
            rule = "R-10" if stopped.slug == "safety-hold" else "R-20"
            return _refusal(rule, stopped.detail, {"stop": stopped.slug, "scope": scope}, context)
    risk = case.answers_to("c-ssrs")
    if risk is not None and risk.band == "high":
        return _refusal(
            "R-10", "The last C-SSRS screener shows a high risk; a later one must show it lower first.", {"c-ssrs": "high"}, context
        )
    if case.screener_due:
        return _refusal("R-08", "PHQ-9 item 9 is positive: the C-SSRS screener must be answered first.", {"c-ssrs": "missing"}, context)
    if risk is not None and risk.band == UNSCORED:
        return _refusal("R-08", "The last C-SSRS screener lacks an item; it must be answered in full.", {"c-ssrs": UNSCORED}, context)
    return None


def _refusal(rule: str, detail: str, facts: dict[str, str], context: Context) -> intake.StepRefused:
    return intake.StepRefused(step="screening", rule=rule, detail=detail, facts=facts, policy_version=context.policy.version)


def _require_answers(case: Case) -> None:
    if case.unscored:
        raise Refusal("instrument-unscored", f"Not answered in full yet: {', '.join(case.unscored)}.", rule="R-07")
    if case.unanswered:
        raise Refusal("questionnaire-incomplete", f"Not answered yet: {', '.join(case.unanswered)}.", rule="R-02")


def _summary(case: Case, referral: Referral, chart: Chart, found: Findings, command: CompleteScreening) -> ScreeningSummary:
    weight = chart.latest(WEIGHT)
    scores = tuple(
        Score(instrument=each.instrument, total=each.total, band=each.band, answered_at=each.answered_at) for each in case.answered
    )
    return ScreeningSummary(
        indication=referral.indication,
        age=chart.age,
        sex=referral.sex,
        route=referral.route,
        weight_kg=None if weight is None else weight.value.quantize(Decimal("0.01")),
        scores=scores,
        risk=_risk(case),
        findings=found,
        medications=tuple(fact.label for fact in chart.medications),
        medications_of_no_class=tuple(fact.label for fact in chart.medications if not items_of(fact)),
        unread_conditions=tuple(fact.label for fact in chart.unread_conditions),
        note=command.note,
        stated_scores=case.scores,
    )


def _risk(case: Case) -> RiskLevel | None:
    """Return the last C-SSRS level; None where no screener was called for."""
    screener = case.answers_to("c-ssrs")
    levels: tuple[RiskLevel, ...] = get_args(RiskLevel)
    return next((level for level in levels if screener is not None and screener.band == level), None)
