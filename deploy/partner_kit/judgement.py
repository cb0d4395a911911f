"""How a prescriber judges a review: simple rules, for demonstrations and tests and not for care. Pure."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

PLAN_DAYS: Final = 90
"""What the network's default policy lets an approval hold at most (R-15)."""
TOO_MANY_CLEARANCES: Final = 4
SYMPTOMATIC: Final = {"phq-9": 10, "gad-7": 10, "pcl-5": 33}
LIMITS: Final = {"hold_above": {"systolic": 140, "diastolic": 90}, "second_pressure_after_minutes": 40, "minimum_stay_minutes": 120}


def decide(review: Mapping[str, Any], asked_at: str, plan_days: int = PLAN_DAYS) -> dict[str, Any]:
    """Decide a review as it was disclosed: not eligible, clearance first, or eligible under a plan for so many days from `asked_at` on."""
    summary = review["summary"]
    decision: dict[str, Any] = {"request": review["request"]}
    answers = {answer["item"]: answer["cleared"] for answer in review["answers"]}
    against = _reasons_against(summary, answers)
    if against:
        return {**decision, "decision": "ineligible", "reasons": against}
    open_items = [item for item in review["clearances"] if item not in answers]
    if open_items:
        return {**decision, "decision": "needs_clearance", "reasons": ["clearance-before-decision"], "items": open_items}
    return {**decision, "decision": "eligible", **_approval(summary, asked_at, plan_days)}


def _reasons_against(summary: Mapping[str, Any], answers: Mapping[str, bool]) -> list[str]:
    totals = {score["instrument"]: score["total"] or 0 for score in summary["scores"]}
    items = {finding["item"] for finding in summary["findings"]}
    reasons = []
    if not any(totals.get(instrument, 0) >= limit for instrument, limit in SYMPTOMATIC.items()):
        reasons.append("symptoms-below-threshold")
    if not all(answers.values()):
        reasons.append("not-cleared")
    if summary["risk"] == "moderate" and items & {"alcohol", "drugs", "opioid"}:
        reasons.append("risk-with-substance-use")
    if "opioid" in items and "respiratory_disease" in items:
        reasons.append("respiratory-risk")
    if len([finding for finding in summary["findings"] if finding["weight"] == "needs_clearance"]) >= TOO_MANY_CLEARANCES:
        reasons.append("too-many-conditions")
    return reasons


def _approval(summary: Mapping[str, Any], asked_at: str, plan_days: int) -> dict[str, Any]:
    return {"reasons": _reasons_for(summary), "plan": _plan(summary, asked_at, plan_days), "evaluation": {"mode": "in_person"}}


def _reasons_for(summary: Mapping[str, Any]) -> list[str]:
    return [f"indication-{summary['indication']}"]


def _plan(summary: Mapping[str, Any], asked_at: str, plan_days: int) -> dict[str, Any]:
    """About 2 to 4 mg/kg under the tongue, in steps of 50 mg; two doses first, then another look."""
    weight = Decimal(str(summary["weight_kg"] or 70))
    inward = summary["indication"] != "anxiety" and summary["age"] < 60
    low = min(max(round(weight * 2 / 50) * 50, 100), 200)
    high = min(low + (100 if inward else 50), 300)
    return {
        "route": "sublingual",
        "intent": "psychedelic" if inward else "psycholytic",
        "dose_mg_low": str(low),
        "dose_mg_high": str(high),
        "mg_per_kg_high": "5",
        "doses": 2,
        "limits": LIMITS,
        "expires_at": (datetime.fromisoformat(asked_at) + timedelta(days=plan_days)).isoformat(),
    }
