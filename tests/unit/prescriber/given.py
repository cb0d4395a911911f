"""Builders for what a prescriber's decision stands on."""

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import reduce
from typing import Any

from services.prescriber.domain.decide import HEARD, Decision, decide_in_house
from services.prescriber.domain.partners.state import Endpoint, Organisation, Partners, Secret
from services.prescriber.domain.review import opening
from services.prescriber.domain.state import Case, evolve_case
from shared.events import intake
from shared.events.base import Envelope, EventData
from shared.events.clinical import BloodPressure, Finding, MonitoringLimits, ScreeningSummary, TreatmentPlan
from shared.events.prescriber import StepRefused
from shared.pathway.context import Actor, Context
from shared.pathway.policy import Policy, read_policy

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
POLICY = read_policy()
CONSENT = intake.ConsentGiven(version="consent-1", scopes=("treatment", "disclosure_to_prescriber"), given_at=NOW - timedelta(days=1))


def organisation(slug: str, secret: str = "A" * 32, key: str = "whpk_x", **changed: Any) -> Organisation:
    endpoint = Endpoint("main", f"https://{slug}.example/hooks", secrets=(Secret(f"whsec_{secret}"),))
    return replace(Organisation(slug, f"{slug.title()} Medical", (key,), (endpoint,)), **changed)


NORTH = organisation("north")
SOUTH = organisation("south", "B" * 32, "whpk_y")


def partners() -> tuple[Organisation, ...]:
    return (NORTH, SOUTH)


def nobody() -> tuple[Organisation, ...]:
    return ()


def only(*registered: Organisation) -> Partners:
    """These organisations, and no others."""
    return lambda: registered


def context(
    now: datetime = NOW, seed: str = "event:urn:kapcare:intake/e1", source: str = "urn:kapcare:intake", policy: Policy = POLICY
) -> Context:
    envelope = Envelope(
        id="e1",
        source=source,
        type="kapcare.intake.ScreeningCompleted.v1",
        subject="case-1",
        time=now,
        sequence=1,
        clinic="riverside",
        patient="patient-1",
        actor="service:intake",
        correlation="e1",
    )
    views = dict.fromkeys(HEARD, timedelta())
    return Context(now=now, actor=Actor("prescriber-7"), policy=policy, seed=seed, envelope=envelope, views=views)


def in_state(state: str | None = None, seed: str = "event:x/e1") -> Context:
    """A decision on a case of a clinic in a state; None: the policy does not say in which."""
    return context(seed=seed, policy=POLICY.model_copy(update={"state": state}))


def finding(item: str, weight: Any = "needs_clearance") -> Finding:
    return Finding(item=item, weight=weight, rule="R-06", because=("235856003",))


def summary(*findings: Finding, weight_kg: Decimal | None = Decimal(70)) -> ScreeningSummary:
    return ScreeningSummary(
        indication="depression",
        age=41,
        sex="female",
        route="sublingual",
        weight_kg=weight_kg,
        scores=(),
        risk="none",
        findings=findings,
        medications=("sertraline",),
    )


def screened(*findings: Finding, weight_kg: Decimal | None = Decimal(70)) -> intake.ScreeningCompleted:
    return intake.ScreeningCompleted(summary=summary(*findings, weight_kg=weight_kg), completed_at=NOW, policy_version=POLICY.version)


def told(case: Case, events: Iterable[EventData]) -> Case:
    return reduce(evolve_case, events, case)


def in_review(*findings: Finding, weight_kg: Decimal | None = Decimal(70), who: Any = nobody) -> Case:
    """A consented case whose first review is open, in-house unless said otherwise."""
    case = told(Case(), [CONSENT])
    return told(case, opening(who)(case, screened(*findings, weight_kg=weight_kg), context()))


def approved(**plan_changed: Any) -> Case:
    """A case that was approved in-house on its first request."""
    case = in_review()
    return told(case, decide_in_house(case, decision(plan_changed=plan_changed), context()))


def plan(**changed: Any) -> TreatmentPlan:
    values: dict[str, Any] = {
        "route": "sublingual",
        "intent": "psycholytic",
        "dose_mg_low": Decimal(100),
        "dose_mg_high": Decimal(200),
        "mg_per_kg_high": Decimal("3.5"),
        "doses": 2,
        "limits": MonitoringLimits(
            hold_above=BloodPressure(systolic=140, diastolic=90), second_pressure_after_minutes=40, minimum_stay_minutes=120
        ),
        "expires_at": NOW + timedelta(days=60),
    }
    return TreatmentPlan(**{**values, **changed})


def decision(kind: str = "eligible", *, request: int = 1, plan_changed: dict[str, Any] | None = None, **body: Any) -> Decision:
    values: dict[str, Any] = {"request": request, "decision": kind, "reasons": ["indication-met"], **body}
    if kind == "eligible":
        values["plan"] = plan(**(plan_changed or {})).model_dump(mode="json")
    return read(values)


def read(values: dict[str, Any]) -> Decision:
    """Read a decision as the service does: from JSON bytes."""
    return Decision.model_validate_json(json.dumps(values))


def rules(events: Iterable[EventData]) -> list[str]:
    """The rules that refused, in order; fails if anything else happened."""
    found = []
    for event in events:
        assert isinstance(event, StepRefused)
        found.append(event.rule)
    return found
