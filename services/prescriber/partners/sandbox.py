"""An example review, of no patient: fetched, decided and refused by the very code that real ones are, and recorded nowhere."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from functools import reduce
from typing import Any, Final

from pydantic_core import to_json
from starlette.responses import Response

from services.prescriber.api import show_review
from services.prescriber.domain.decide import HEARD, Decision, decide_as_partner
from services.prescriber.domain.state import Case, evolve_case
from services.prescriber.partners.messages import EXAMPLE_CASE
from shared.events.base import EventData, Slug
from shared.events.clinical import Finding, ScreeningSummary
from shared.events.intake import ConsentGiven
from shared.events.prescriber import ReviewAssigned, ReviewOpened, StepRefused
from shared.http.commands import refused_by_rule
from shared.log.commit import Cause
from shared.pathway.context import Actor
from shared.service.runtime import Runtime

EXAMPLE_REQUEST: Final = 1
"""As the webhook says that announces the example."""

_CLINIC: Final = "example"
_PATIENT: Final = f"patient-{'0' * 32}"
_SUMMARY: Final = ScreeningSummary(
    indication="depression",
    age=41,
    sex="female",
    route="sublingual",
    weight_kg=Decimal(70),
    scores=(),
    risk="none",
    findings=(Finding(item="hypertension", weight="needs_clearance", rule="R-06", because=("38341003",)),),
    medications=("sertraline",),
    note="An example, of no patient.",
)


def example_case(partner: Slug, now: datetime, answer_hours: int) -> Case:
    """Return the example as it stands with an organisation: one item to clear, due after so many hours from now."""
    events: tuple[EventData, ...] = (
        ConsentGiven(version="example", scopes=("treatment", "disclosure_to_prescriber"), given_at=now - timedelta(days=1)),
        ReviewOpened(request=EXAMPLE_REQUEST, summary=_SUMMARY, opened_at=now),
        ReviewAssigned(request=EXAMPLE_REQUEST, partner=partner, due_at=now + timedelta(hours=answer_hours)),
    )
    return reduce(evolve_case, events, Case())


class Sandbox:
    """What a partner gets when it fetches the example, and when it decides on it."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def show(self, partner: Slug) -> Mapping[str, Any]:
        """Return the example review as GET /partner/reviews/{case} shows real ones, with `"test": true`."""
        head = {"case": EXAMPLE_CASE, "clinic": _CLINIC, "patient": _PATIENT, "version": 1}
        policy = self._runtime.policies.policy(self._runtime.care_now(), _CLINIC)
        return {**head, **show_review(self._case(partner), _CLINIC, policy), "test": True}

    def answer(self, partner: Slug, decided: Decision) -> Response:
        """Answer a verified decision on the example by the real rules. Raises Refusal or Problem as a real one would be refused."""
        cause = Cause.carried("example", partner)
        fresh = dict.fromkeys(HEARD, timedelta())
        context = self._runtime.decisions.context(cause, Actor(f"partner:{partner}"), _CLINIC, views=fresh, stream=EXAMPLE_CASE)
        events = decide_as_partner(self._case(partner), decided, context, by=partner)
        refused = [event for event in events if isinstance(event, StepRefused)]
        if refused:
            raise refused_by_rule(refused, test=True)
        content = {"case": EXAMPLE_CASE, "test": True, "events": [{"type": event.TYPE} for event in events]}
        return Response(to_json(content), media_type="application/json")

    def _case(self, partner: Slug) -> Case:
        now = self._runtime.care_now()
        return example_case(partner, now, self._runtime.policies.policy(now, _CLINIC).values.partner_answer_hours)
